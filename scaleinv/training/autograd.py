"""Outputs and gradients of any described module, by autograd, one member at a time."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from scaleinv.losses.base import Loss
from scaleinv.patterns.record import Recorder
from scaleinv.spaces import _foreach as foreach
from scaleinv.spaces._gradient import Gradient
from scaleinv.symmetry.graph import Weights
from scaleinv.symmetry.network import Network
from scaleinv.training.chain import ChainEngine
from scaleinv.training.engine import Engine


def make_engine(network: Network, statistics: Mapping[str, Tensor]) -> Engine:
    """Return the closed form for a chain, autograd for everything else.

    Args:
        network: the description, with its graph on the device that computes.
        statistics: see :class:`AutogradEngine`.
    """
    return ChainEngine(network) if network.chain else AutogradEngine(network, statistics)


def step_scalars(network: Network, batch_size: int) -> tuple[int, int]:
    """Return :meth:`Engine.scalars` of the engine that :func:`make_engine` makes."""
    return (ChainEngine if network.chain else AutogradEngine).scalars(network, batch_size)


class AutogradGradient(Gradient):
    """Gradients that are already written out."""

    def __init__(self, grads: dict[str, Tensor]) -> None:
        """Keep the gradients, by name, ``(members, own shape)``."""
        self._grads = grads

    def whole(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Return the gradients by some tensors; see :meth:`Gradient.whole`."""
        return {name: self._grads[name] for name in names}

    def add_to_(self, weights: Weights, factor: Tensor) -> None:
        """Add a multiple of the gradient; see :meth:`Gradient.add_to_`."""
        foreach.add_scaled_(list(weights.values()), [self._grads[name] for name in weights], factor)


class AutogradEngine(Engine):
    """Forward and backward passes of a module, one member at a time.

    Layers that keep running statistics (batch norm) are in training mode in :meth:`gradient`; all others are in
    evaluation mode, dropout too, because members must not depend on a shared random generator. Images of three dims
    are laid out channels-last, which is fastest for convolutions.
    """

    def __init__(self, network: Network, statistics: Mapping[str, Tensor]) -> None:
        """Make the module.

        Args:
            network: description of the network; its ``make`` is called once.
            statistics: the module's buffers, ``(members, ...)``, as :meth:`Network.buffers` makes them;
                :meth:`gradient` changes them in place.
        """
        self.network = network
        self._module = network.drawn(0).to("meta").eval()
        # Looking for weights that have two names takes as long as a small layer.
        self._is_tied = len([*self._module.named_parameters(remove_duplicate=False)]) > len(
            [*self._module.parameters()]
        )
        self._normalisers = [part for part in self._module.modules() if getattr(part, "track_running_stats", False)]
        self._statistics = statistics
        self._kept: dict[str, Tensor] = {}
        self._recorded: list[list[Tensor]] = []

    @classmethod
    def scalars(cls, network: Network, batch_size: int) -> tuple[int, int]:
        """Count the activations of one member, because it is the only one at work; see :meth:`Engine.scalars`.

        Autograd keeps 1.0 (ResNet-20) to 2.2 (LeNet) scalars per activation until the gradient has passed; the rest is
        room for the gradients by activations and for the workspaces of convolutions.
        """
        return 4 * network.activations * batch_size, 0

    def logits(self, weights: Weights, images: Tensor) -> Tensor:
        """Return the outputs of each member; see :meth:`Engine.logits`."""
        with torch.no_grad():
            return self._outputs(weights, images)

    def gradient(
        self, weights: Weights, images: Tensor, targets: Tensor, loss: Loss
    ) -> tuple[Tensor, AutogradGradient]:
        """Compute the mean loss's gradient for every member; see :meth:`Engine.gradient`."""
        _train(self._normalisers, True)
        try:
            return self._gradient(weights, images, targets, loss)
        finally:
            _train(self._normalisers, False)

    def rehearse(self, weights: Weights, images: Tensor) -> None:
        """Run a forward pass in training mode and put the statistics back; see :meth:`Engine.rehearse`."""
        before = {name: t.clone() for name, t in self._statistics.items()}
        _train(self._normalisers, True)
        try:
            self.logits(weights, images)
        finally:
            _train(self._normalisers, False)
            for name, t in before.items():
                self._statistics[name].copy_(t)

    def hidden(self) -> list[Tensor]:
        """Stack the members' inputs of activations, if they were recorded; see :meth:`Engine.hidden`."""
        return [torch.stack(of_members) for of_members in zip(*self._recorded, strict=True)]

    def buffers(self) -> list[Tensor]:
        """Return all memory that is kept; see :meth:`Engine.buffers`."""
        return list(self._kept.values())

    def _gradient(
        self, weights: Weights, images: Tensor, targets: Tensor, loss: Loss
    ) -> tuple[Tensor, AutogradGradient]:
        grads = {name: self._memory(f"gradient of {name}", w.shape, w) for name, w in weights.items()}
        logits = self._logits(weights, images)
        delta = self._memory("delta", logits[:1].shape, logits)
        for i, inputs in enumerate(self._inputs(weights, images)):
            leaves = {name: w[i].detach().requires_grad_() for name, w in weights.items()}
            with torch.enable_grad():
                outputs = self._call(leaves, i, inputs)
            logits[i].copy_(outputs.detach().mT)
            group = i * len(targets) // len(logits)
            loss.delta_(logits[i : i + 1], targets[group : group + 1], out=delta)
            own = torch.autograd.grad(outputs, list(leaves.values()), delta[0].mT, materialize_grads=True)
            for name, g in zip(leaves, own, strict=True):
                grads[name][i].copy_(g)
        return logits, AutogradGradient(grads)

    def _outputs(self, weights: Weights, images: Tensor) -> Tensor:
        logits = self._logits(weights, images)
        for i, inputs in enumerate(self._inputs(weights, images)):
            logits[i].copy_(self._call({name: w[i] for name, w in weights.items()}, i, inputs).mT)
        return logits

    def _call(self, weights: Weights, member: int, inputs: Tensor) -> Tensor:
        own = {name: t[member % len(t)] for name, t in self._statistics.items()}
        if not self.records:
            return functional_call(self._module, {**weights, **own}, inputs, tie_weights=self._is_tied)
        with Recorder() as recorder:
            outputs = functional_call(self._module, {**weights, **own}, inputs)
        self._recorded = [*(self._recorded if member else []), recorder.inputs]
        return outputs

    def _inputs(self, weights: Weights, images: Tensor) -> list[Tensor]:
        """Return every member's inputs in the shape that the module takes."""
        shaped = [group.unflatten(-1, self.network.inputs) for group in images]
        if shaped[0].dim() == 4:
            # A copy, because images of one channel count as channels-last already, yet convolutions go by the strides
            # and would compute the whole network in the slower layout.
            shaped = [torch.empty_like(group, memory_format=torch.channels_last).copy_(group) for group in shaped]
        members = self._members(weights)
        return [shaped[i * len(shaped) // members] for i in range(members)]

    def _logits(self, weights: Weights, images: Tensor) -> Tensor:
        shape = (self._members(weights), self.network.outputs, images.shape[1])
        return self._memory("logits", shape, images)

    def _memory(self, name: str, shape: Sequence[int], like: Tensor) -> Tensor:
        if name not in self._kept or self._kept[name].shape != shape:
            self._kept[name] = like.new_empty(shape)
        return self._kept[name]

    def _members(self, weights: Weights) -> int:
        return next(iter(weights.values())).shape[0]


def _train(parts: Iterable[nn.Module], mode: bool) -> None:
    for part in parts:
        part.training = mode
