"""Outputs and gradients of a stack of chains, in closed form and in reused memory.

Activations are kept feature-major, ``(members, features, batch)``: the first layer of all members that share a
batch is then one wide matrix product, and nothing is ever transposed in memory. Autograd would compute the same
numbers (a test says so) at about twice the time for one member.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scaleinv.losses.base import Loss
from scaleinv.spaces._gradient import Gradient
from scaleinv.symmetry.graph import Weights
from scaleinv.symmetry.network import Layer, Network
from scaleinv.training.engine import Engine


@dataclass(frozen=True)
class LayerGradient:
    """Gradients of a layer: the matrix's is the product ``delta @ inputs``, the bias's the sum of delta.

    Kept as factors, a product can be added to the weights directly; written out, it would be as large as they are.

    Attributes:
        layer: the layer.
        delta: gradients by the layer's outputs, ``(members, out, batch)``; a buffer.
        inputs: what the layer read, ``(groups, batch, in)``; members are split evenly over the groups.
    """

    layer: Layer
    delta: Tensor
    inputs: Tensor

    def write_(self, tensors: Weights) -> None:
        """Write the gradients into those of the layer's tensors that ``tensors`` has."""
        if self.layer.weight in tensors:
            _multiply(self.delta, self.inputs, tensors[self.layer.weight], keep=0)
        if self.layer.bias is not None and self.layer.bias in tensors:
            torch.sum(self.delta, -1, out=tensors[self.layer.bias])

    def add_to_(self, tensors: Weights, factor: Tensor) -> None:
        """Add ``factor`` times the gradients to those of the layer's tensors that ``tensors`` has; overwrites delta.

        Args:
            tensors: weights by name, contiguous, ``(members, own shape)``.
            factor: broadcasts against delta; the same for all images.
        """
        self.delta.mul_(factor)
        if self.layer.weight in tensors:
            _multiply(self.delta, self.inputs, tensors[self.layer.weight], keep=1)
        if self.layer.bias is not None and self.layer.bias in tensors:
            tensors[self.layer.bias].add_(self.delta.sum(-1))


class ChainGradient(Gradient):
    """Gradients layer by layer, kept as factors."""

    def __init__(self, engine: "ChainEngine", layers: Sequence[LayerGradient]) -> None:
        """Keep the factors.

        Args:
            engine: owner of the memory that :meth:`whole` writes into.
            layers: factors of every layer, the last layer first.
        """
        self._engine, self._layers = engine, layers

    def whole(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Multiply out the gradients by some tensors; see :meth:`Gradient.whole`."""
        like = self._layers[0].delta
        grads = {name: self._engine.grad(name, like) for name in names}
        for layer in self._layers:
            layer.write_(grads)
        return grads

    def add_to_(self, weights: Weights, factor: Tensor) -> None:
        """Add a multiple of the gradient without writing it out; see :meth:`Gradient.add_to_`."""
        for layer in self._layers:
            if layer.layer.weight in weights or layer.layer.bias in weights:
                layer.add_to_(weights, factor.view(-1, 1, 1))


class ChainEngine(Engine):
    """Forward and backward passes of a chain, in closed form."""

    def __init__(self, network: Network) -> None:
        """Prepare for ``network``; buffers are made on first use and used again for the same shapes."""
        self.network = network
        self._workspaces: dict[tuple[int, int, int], _Workspace] = {}
        self._grads: dict[str, Tensor] = {}
        self._last: _Workspace | None = None

    def gradient(self, weights: Weights, images: Tensor, targets: Tensor, loss: Loss) -> tuple[Tensor, ChainGradient]:
        """Compute the mean loss's gradient for every member; see :meth:`Engine.gradient`."""
        work = self._forward(weights, images)
        loss.delta_(work.logits, targets, out=work.deltas[-1])
        layers = []
        for depth in range(len(self.network.chain) - 1, -1, -1):
            layer, delta = self.network.chain[depth], work.deltas[depth]
            if layer.slope is not None:
                _activation_backward(delta, work.outputs[depth], layer.slope)
            layers.append(LayerGradient(layer, delta, work.transposed[depth - 1] if depth else images))
            if depth:
                torch.bmm(weights[layer.weight].mT, delta, out=work.deltas[depth - 1])
        return work.logits, ChainGradient(self, layers)

    @classmethod
    def scalars(cls, network: Network, batch_size: int) -> tuple[int, int]:
        """Count the activations of all members, which are computed together; see :meth:`Engine.scalars`."""
        return 0, 4 * network.activations * batch_size

    def logits(self, weights: Weights, images: Tensor) -> Tensor:
        """Return the outputs of each member; see :meth:`Engine.logits`."""
        return self._forward(weights, images).logits

    def hidden(self) -> list[Tensor]:
        """Return every layer's outputs, whose signs ReLU keeps; see :meth:`Engine.hidden`."""
        assert self._last is not None, "no pass yet"
        layers = zip(self.network.chain, self._last.outputs, strict=True)
        return [out for layer, out in layers if layer.slope is not None]

    def buffers(self) -> list[Tensor]:
        """Return all memory that is kept; see :meth:`Engine.buffers`."""
        kept = list(self._grads.values())
        for work in self._workspaces.values():
            kept += work.buffers()
        return kept

    def grad(self, name: str, like: Tensor) -> Tensor:
        """Return memory for the gradient by one tensor, ``(members, own shape)``; members and dtype as in ``like``."""
        grad = self._grads.get(name)
        if grad is None or grad.shape[0] != like.shape[0]:
            grad = self._grads[name] = like.new_empty(like.shape[0], *self.network.graph.shapes[name])
        return grad

    def _forward(self, weights: Weights, images: Tensor) -> "_Workspace":
        """Fill a workspace with every layer's outputs before and after its activation."""
        work = self._last = self._workspace(weights, images)
        for depth, layer in enumerate(self.network.chain):
            matrix, out = weights[layer.weight], work.outputs[depth]
            if depth:
                torch.bmm(matrix, work.activated[depth - 1], out=out)
            else:
                wide = matrix.view(work.groups, -1, images.shape[-1])
                torch.bmm(wide, images.mT, out=out.view(work.groups, -1, work.batch))
            if layer.bias is not None:
                out += weights[layer.bias][..., None]
            if layer.slope is not None:
                _activation(out, layer.slope, work.activated[depth])
        return work

    def _workspace(self, weights: Weights, images: Tensor) -> "_Workspace":
        matrix = weights[self.network.chain[0].weight]
        key = (matrix.shape[0], images.shape[0], images.shape[1])
        if key not in self._workspaces:
            self._workspaces[key] = _Workspace(self.network, *key, matrix)
        return self._workspaces[key]


class _Workspace:
    """Activations of one batch, ``(members, features, batch)``.

    Attributes:
        outputs: outputs of every layer before its activation; activations that keep the sign overwrite them.
        activated: outputs of every layer after its activation; the last are the logits.
        transposed: views of ``activated``, ``(members, batch, features)``.
        deltas: gradients by the outputs of every layer; made at first use, so not where only outputs are needed.
    """

    def __init__(self, network: Network, members: int, groups: int, batch: int, like: Tensor) -> None:
        def empty(features: int) -> Tensor:
            return torch.empty(members, features, batch, dtype=like.dtype, device=like.device)

        self.groups, self.batch = groups, batch
        self.outputs = [empty(features) for features in network.sizes[1:]]
        self.activated = [
            torch.empty_like(out) if layer.slope is not None and layer.slope < 0 else out
            for layer, out in zip(network.chain, self.outputs, strict=True)
        ]
        self.transposed = [a.mT for a in self.activated]
        self._deltas: list[Tensor] = []

    @property
    def deltas(self) -> list[Tensor]:
        if not self._deltas:
            self._deltas = [torch.empty_like(out) for out in self.outputs]
        return self._deltas

    def buffers(self) -> list[Tensor]:
        return [*self.outputs, *self.activated, *self._deltas]

    @property
    def logits(self) -> Tensor:
        return self.activated[-1]


def _multiply(delta: Tensor, inputs: Tensor, out: Tensor, keep: int) -> None:
    """Compute ``out <- keep out + delta @ inputs``, ``(members, out, in)``, for inputs that groups of members share.

    One product per member, not one wide product as in the forward pass: the result is larger than the factors, and
    the wide product was slower at writing it, increasingly so with more members.
    """
    # Not len(), which takes some microseconds of Python on a tensor.
    shared = delta.shape[0] // inputs.shape[0]
    if shared == 1:
        torch.baddbmm(out, delta, inputs, beta=keep, out=out)
        return
    for own, read, product in zip(delta.split(shared), inputs, out.split(shared), strict=True):
        torch.baddbmm(product, own, read.expand(shared, -1, -1), beta=keep, out=product)


def _activation(z: Tensor, slope: float, out: Tensor) -> None:
    if slope == 0:
        torch.clamp(z, min=0, out=out)
    else:
        torch.ops.aten.leaky_relu.out(z, slope, out=out)


def _activation_backward(delta: Tensor, z: Tensor, slope: float) -> None:
    if slope == 0:
        torch.ops.aten.threshold_backward.grad_input(delta, z, 0, grad_input=delta)
    else:
        torch.ops.aten.leaky_relu_backward.grad_input(delta, z, slope, False, grad_input=delta)
