"""Networks as functions of a named weight dict (thesis, eq. 1.1)."""

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.func import functional_call

from scaleinv.symmetry.classes import Anchor
from scaleinv.symmetry.graph import Graph, Weights
from scaleinv.symmetry.program import Program, UnsupportedNetworkError

__all__ = ["Layer", "LinearMap", "Network", "UnsupportedNetworkError", "activation", "fresh", "sequential"]

LinearMap = tuple[int, int, bool, float | None]


@dataclass(frozen=True)
class Layer:
    """One affine map and the activation after it.

    Attributes:
        weight: name of the matrix, own shape ``(out, in)``.
        bias: name of the bias, own shape ``(out,)``, or None.
        slope: slope of the activation below zero (0 is ReLU), or None for no activation.
    """

    weight: str
    bias: str | None
    slope: float | None


@dataclass(frozen=True)
class Network:
    """How a model is made, and how its weights are connected.

    Attributes:
        make: returns a fresh module in PyTorch's initialisation, drawn from the global generator.
        graph: channel classes and edges, under the module's parameter names.
        inputs: shape of one input: ``(features,)``, or ``(channels, height, width)``.
        outputs: number of outputs.
        chain: affine maps from the inputs to the outputs, if the network consists of nothing but them and
            positively homogeneous activations in a row (its gradients then have a closed form); else empty.
        anchors: what keeps channels from being rescaled, and why; known of models that were traced.
        traced: operations of evaluation mode, if they are known already.
    """

    make: Callable[[], nn.Module]
    graph: Graph
    inputs: tuple[int, ...]
    outputs: int
    chain: tuple[Layer, ...] = ()
    anchors: tuple[Anchor, ...] = ()
    traced: Program | None = None

    @property
    def features(self) -> int:
        """Number of scalars in one input."""
        return math.prod(self.inputs)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Widths of a chain: number of inputs, of nodes in each hidden layer, and of outputs."""
        return (self.features, *(self.graph.shapes[layer.weight][0] for layer in self.chain))

    @cached_property
    def activations(self) -> int:
        """Number of scalars computed per input: the input itself and the outputs of all modules with parameters."""
        if self.chain:
            return sum(self.sizes)
        counts = [self.features]
        module = self.drawn(0).eval()
        for part in module.modules():
            if next(part.parameters(recurse=False), None) is not None:
                part.register_forward_hook(lambda part, inputs, output: counts.append(output.numel()))
        with torch.no_grad():  # on the meta device this would import a compiler, which takes two seconds
            module(torch.zeros(1, *self.inputs))
        return sum(counts)

    def forward(self, weights: Weights, images: Tensor) -> Tensor:
        """Compute the outputs; of a chain, ``x_l = sigma(W_l x_{l-1} + b_l)`` (thesis, eq. 1.1).

        Args:
            weights: tensors ``(*members, own shape)``; buffers too, where they are not those of a fresh module.
            images: inputs ``(*members, batch, features)``, or ``(batch, features)`` for all members.

        Returns:
            Outputs ``(*members, batch, outputs)``, in evaluation mode.
        """
        if not self.chain:
            return self._call(weights, images)
        x = images
        for layer in self.chain:
            x = x @ weights[layer.weight].mT
            if layer.bias is not None:
                x = x + weights[layer.bias].unsqueeze(-2)
            if layer.slope is not None:
                x = activation(x, layer.slope)
        return x

    def init(self, seeds: Sequence[int], dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        """Draw PyTorch's default initialisation, one member per seed.

        Args:
            seeds: one seed per member; equal seeds give equal members.
            dtype: dtype of the weights; they are always drawn in float32.

        Returns:
            Weights ``(members, own shape)``.
        """
        drawn = {seed: dict(self.drawn(seed).named_parameters()) for seed in dict.fromkeys(seeds)}
        return {
            name: torch.stack([drawn[seed][name].detach() for seed in seeds]).to(dtype) for name in self.graph.shapes
        }

    def buffers(self, members: int, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        """Return the module's buffers (running statistics, for example), ``(members, ...)`` by name.

        Floats are in ``dtype``. A chain has no buffers.
        """
        return {
            name: torch.stack([b.to(dtype) if b.is_floating_point() else b] * members)
            for name, b in (() if self.chain else self.drawn(0).named_buffers())
        }

    @cached_property
    def program(self) -> Program:
        """The operations of evaluation mode; a run needs the weights and :meth:`buffers`, of one member each."""
        return self.traced or Program.trace(self._module, torch.zeros(2, *self.inputs))

    def drawn(self, seed: int) -> nn.Module:
        """Make the module with the initialisation of ``seed``; the global generator is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.random.default_generator.manual_seed(seed)
            return self.make()

    @cached_property
    def _module(self) -> nn.Module:
        return self.drawn(0).eval()

    def _call(self, weights: Weights, images: Tensor) -> Tensor:
        members = self.graph.members(weights)
        if not members:
            like = next(iter(weights.values()))
            buffers = {n: b.to(like) if b.is_floating_point() else b for n, b in self._module.named_buffers()}
            return functional_call(self._module, {**buffers, **weights}, images.unflatten(-1, self.inputs))
        outputs = []
        for i in range(members[0]):
            own = {name: w[i] for name, w in weights.items()}
            outputs.append(self._call(own, images[i] if images.dim() > 2 else images))
        return torch.stack(outputs)


def activation(x: Tensor, slope: float) -> Tensor:
    """Compute ``max(x, 0) + slope * min(x, 0)``: ReLU for slope 0, else LeakyReLU (thesis, eq. 1.5, 1.6)."""
    return torch.relu(x) if slope == 0 else nn.functional.leaky_relu(x, slope)


def sequential(maps: Sequence[LinearMap]) -> nn.Sequential:
    """Build a chain from (inputs, outputs, bias, slope or None) quadruples."""
    parts: list[nn.Module] = []
    for into, out, bias, slope in maps:
        parts.append(nn.Linear(into, out, bias=bias))
        if slope is not None:
            parts.append(nn.ReLU() if slope == 0 else nn.LeakyReLU(slope))
    return nn.Sequential(*parts)


def fresh(model: nn.Module) -> nn.Module:
    """Return a copy of ``model`` on the CPU, in float32, with every module's weights drawn anew.

    Raises:
        UnsupportedNetworkError: a module has parameters but no ``reset_parameters()``.
    """
    copied = deepcopy(model).to("cpu", torch.float32)
    for name, part in copied.named_modules():
        if next(part.parameters(recurse=False), None) is None:
            continue
        if not callable(reset := getattr(part, "reset_parameters", None)):
            raise UnsupportedNetworkError(f"module {name} ({type(part).__name__}) has no reset_parameters()")
        reset()
    return copied
