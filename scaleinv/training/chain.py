"""Outputs, scores and gradients of a stack of networks, in closed form and in memory that is used again.

Activations are kept feature-major, ``(members, features, batch)``: the first layer of all members that share a
batch is then one wide matrix product, and nothing is ever transposed in memory. Autograd would compute the same
numbers (a test says so) at about twice the time for one member.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scaleinv.symmetry.graph import Weights
from scaleinv.symmetry.network import Layer, Network


@dataclass(frozen=True)
class Score:
    """What images cost each member: shapes ``(members, images)``, or ``(members,)`` when summed.

    Attributes:
        loss: cross-entropy, in nats.
        correct: whether the largest output is the label's (the first of equal ones counts), or how often.
    """

    loss: Tensor
    correct: Tensor

    def total(self) -> "Score":
        """Sum over the images, in float64."""
        return Score(self.loss.sum(-1, dtype=torch.float64), self.correct.sum(-1))


def score(logits: Tensor, labels: Tensor) -> Score:
    """Score every image.

    Args:
        logits: ``(members, classes, images)``, members ordered by group.
        labels: ``(groups, images)``.

    Returns:
        Loss and correctness, ``(members, images)``.
    """
    groups, images = labels.shape
    of_member = labels[:, None].expand(groups, len(logits) // groups, images).reshape(-1, images)
    loss = torch.log_softmax(logits, 1).gather(1, of_member[:, None]).squeeze(1).neg_()
    return Score(loss, logits.max(1).indices == of_member)


def one_hot(labels: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """Return the distributions with all mass at the labels: ``(groups, images)`` to ``(groups, classes, images)``."""
    zeros = torch.zeros(len(labels), classes, labels.shape[1], dtype=dtype, device=labels.device)
    return zeros.scatter_(1, labels[:, None], 1.0)


@dataclass(frozen=True)
class LayerGradient:
    """Gradients of a layer: the matrix's is the product ``delta @ inputs``, the bias's the sum of delta.

    Left as factors, a product can be added to the weights at once; written out, it is as large as they are.

    Attributes:
        layer: whose.
        delta: gradients by the layer's outputs, ``(members, out, batch)``; a buffer.
        inputs: what the layer read, ``(groups, batch, in)``; members are split evenly over the groups.
    """

    layer: Layer
    delta: Tensor
    inputs: Tensor

    def write_(self, tensors: Weights) -> None:
        """Write the gradients into those of the layer's tensors that are given."""
        if self.layer.weight in tensors:
            _multiply(self.delta, self.inputs, tensors[self.layer.weight], keep=0)
        if self.layer.bias is not None and self.layer.bias in tensors:
            torch.sum(self.delta, -1, out=tensors[self.layer.bias])

    def add_to_(self, tensors: Weights, factor: Tensor) -> None:
        """Add ``factor`` times the gradients to those of the layer's tensors that are given; uses delta up.

        Args:
            tensors: by name, contiguous.
            factor: broadcasts against delta; the same for all images.
        """
        self.delta.mul_(factor)
        if self.layer.weight in tensors:
            _multiply(self.delta, self.inputs, tensors[self.layer.weight], keep=1)
        if self.layer.bias is not None and self.layer.bias in tensors:
            tensors[self.layer.bias].add_(self.delta.sum(-1))

    def in_columns(self, columns: Tensor) -> Tensor:
        """Return one entry of every row of the matrix's gradient, ``(members, out)``.

        Args:
            columns: one a row, shape ``(out,)``, or one a member and row, ``(members, out)``.
        """
        groups, shared = len(self.inputs), len(self.delta) // len(self.inputs)
        if columns.dim() == 1:
            read = self.inputs.index_select(-1, columns).mT[:, None]
        else:
            group = torch.arange(groups, device=columns.device).repeat_interleave(shared)[:, None]
            read = self.inputs.mT[group, columns].unflatten(0, (groups, shared))
        return (self.delta.unflatten(0, (groups, shared)) * read).sum(-1).flatten(0, 1)


class Gradient:
    """The mean cross-entropy's gradient at a batch, layer by layer and not yet multiplied out.

    Attributes:
        layers: by the names of their matrices, the last layer first.
    """

    def __init__(self, layers: Sequence[LayerGradient], buffers: dict[str, Tensor]) -> None:
        """Keep the factors; ``buffers`` are what :meth:`whole` writes into, and makes if they are not there."""
        self.layers = {gradient.layer.weight: gradient for gradient in layers}
        self._buffers = buffers

    def whole(self, like: Weights) -> dict[str, Tensor]:
        """Multiply out the gradients of some tensors.

        Args:
            like: the weights whose gradients are wanted, by name.

        Returns:
            Gradients ``(members, ...)`` in buffers that are used again at the next batch.
        """
        for name, w in like.items():
            if name not in self._buffers or self._buffers[name].shape != w.shape:
                self._buffers[name] = torch.empty_like(w, memory_format=torch.contiguous_format)
        grads = {name: self._buffers[name] for name in like}
        for layer in self.layers.values():
            layer.write_(grads)
        return grads

    def add_to_(self, weights: Weights, factor: Tensor) -> None:
        """Add a member's ``factor`` times the gradient to its weights; the factors are used up.

        Args:
            weights: contiguous tensors ``(members, ...)``, changed in place.
            factor: shape ``(members,)``.
        """
        for layer in self.layers.values():
            layer.add_to_(weights, factor.view(-1, 1, 1))


class Backprop:
    """Forward and backward passes of one network, for stacks of members."""

    def __init__(self, network: Network) -> None:
        """Prepare for ``network``; buffers are made on first use and used again for the same shapes."""
        self.network = network
        self._workspaces: dict[tuple[int, int, int], _Workspace] = {}
        self._grads: dict[str, Tensor] = {}

    def gradient(self, weights: Weights, images: Tensor, targets: Tensor) -> tuple[Tensor, Gradient]:
        """Compute the mean cross-entropy's gradient for every member (thesis, eq. 1.7).

        Nothing here is about the loss itself: its sums cost more launches than its gradient, so they are left to
        :func:`score`, for many batches at once.

        Args:
            weights: tensors ``(members, ...)``, contiguous, members ordered by group.
            images: float ``(groups, batch, in)``; members are split evenly over the groups.
            targets: probability of every class, ``(groups, classes, batch)``; see :func:`one_hot`.

        Returns:
            The logits ``(members, classes, batch)`` and the gradient. Both live in buffers that the next call
            overwrites.
        """
        work = self._forward(weights, images)
        # d loss / d logits = (softmax - targets) / batch.
        delta = torch.softmax(work.logits, 1, out=work.deltas[-1])
        delta.view(work.groups, -1, *delta.shape[1:]).sub_(targets[:, None])
        delta.div_(work.batch)
        found = []
        for depth in range(len(self.network.layers) - 1, -1, -1):
            layer, delta = self.network.layers[depth], work.deltas[depth]
            if layer.slope is not None:
                _activation_backward(delta, work.outputs[depth], layer.slope)
            found.append(LayerGradient(layer, delta, work.transposed[depth - 1] if depth else images))
            if depth:
                torch.bmm(weights[layer.weight].mT, delta, out=work.deltas[depth - 1])
        return work.logits, Gradient(found, self._grads)

    def logits(self, weights: Weights, images: Tensor) -> Tensor:
        """Return the outputs of each member, in a buffer as in :meth:`gradient`."""
        return self._forward(weights, images).logits

    def buffers(self) -> list[Tensor]:
        """Return all memory that is kept between calls."""
        kept = list(self._grads.values())
        for work in self._workspaces.values():
            kept += work.buffers()
        return kept

    def _forward(self, weights: Weights, images: Tensor) -> "_Workspace":
        """Fill a workspace with every layer's outputs before and behind its activation."""
        work = self._workspace(weights, images)
        for depth, layer in enumerate(self.network.layers):
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
        matrix = weights[self.network.layers[0].weight]
        key = (matrix.shape[0], images.shape[0], images.shape[1])
        if key not in self._workspaces:
            self._workspaces[key] = _Workspace(self.network, *key, matrix)
        return self._workspaces[key]


class _Workspace:
    """Activations of one batch, ``(members, features, batch)``.

    Attributes:
        outputs: of every layer, before its activation; but where that keeps the sign it works in place.
        activated: of every layer, behind its activation; the last are the logits.
        transposed: views of those, ``(members, batch, features)``.
        deltas: gradients by the outputs of every layer; not made where nothing but outputs is asked for.
    """

    def __init__(self, network: Network, members: int, groups: int, batch: int, like: Tensor) -> None:
        def empty(features: int) -> Tensor:
            return torch.empty(members, features, batch, dtype=like.dtype, device=like.device)

        self.groups, self.batch = groups, batch
        self.outputs = [empty(features) for features in network.sizes[1:]]
        self.activated = [
            torch.empty_like(out) if layer.slope is not None and layer.slope < 0 else out
            for layer, out in zip(network.layers, self.outputs, strict=True)
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

    One product a member, not one wide one as on the way forward: the result is larger than what is multiplied, and
    the wide product was the slower way to write it, the more so the more members.
    """
    # Not len(), which is Python of some microseconds on a tensor.
    shared = delta.shape[0] // inputs.shape[0]
    if shared == 1:
        torch.baddbmm(out, delta, inputs, beta=keep, out=out)
        return
    for own, theirs, product in zip(delta.split(shared), inputs, out.split(shared), strict=True):
        torch.baddbmm(product, own, theirs.expand(shared, -1, -1), beta=keep, out=product)


def _activation(z: Tensor, slope: float, out: Tensor) -> None:
    if slope == 0:
        torch.clamp(z, min=0, out=out)
    else:
        torch._C._nn.leaky_relu(z, slope, out=out)


def _activation_backward(delta: Tensor, z: Tensor, slope: float) -> None:
    if slope == 0:
        torch.ops.aten.threshold_backward.grad_input(delta, z, 0, grad_input=delta)
    else:
        torch.ops.aten.leaky_relu_backward.grad_input(delta, z, slope, False, grad_input=delta)
