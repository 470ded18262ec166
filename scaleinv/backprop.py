"""Loss and gradient of a stack of networks, in closed form and without allocating.

Activations are kept feature-major, ``(members, features, batch)``: the first layer of all members that share a
batch is then one wide matrix product, and nothing is ever transposed in memory. Autograd would compute the same
numbers (a test says so) at about twice the time for one member.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from scaleinv.network import Network, Weights


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


class Backprop:
    """Forward and backward passes of one network, for stacks of members."""

    def __init__(self, network: Network) -> None:
        """Prepare for ``network``; buffers are made on first use and used again for the same shapes."""
        self.network = network
        self._workspaces: dict[tuple[int, int, int], _Workspace] = {}
        self._grads: dict[str, Tensor] = {}

    def gradient(self, weights: Weights, images: Tensor, targets: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the mean cross-entropy's gradient for every member (thesis, eq. 1.7).

        Nothing here is about the loss itself: its sums cost more launches than its gradient, so they are left to
        :func:`score`, for many batches at once.

        Args:
            weights: tensors ``(members, ...)``, contiguous, members ordered by group.
            images: float ``(groups, batch, in)``; members are split evenly over the groups.
            targets: probability of every class, ``(groups, classes, batch)``; see :func:`one_hot`.

        Returns:
            The logits ``(members, classes, batch)`` and the gradients ``(members, ...)``. Both live in buffers that the
            next call overwrites.
        """
        layers = self.network.layers
        work = self._forward(weights, images)
        # d loss / d logits = (softmax - targets) / batch.
        delta = torch.softmax(work.logits, 1, out=work.deltas[-1])
        delta.view(work.groups, -1, *delta.shape[1:]).sub_(targets[:, None])
        delta.div_(work.batch)
        grads = self._gradient_buffers(weights)
        for depth in range(len(layers) - 1, -1, -1):
            layer = layers[depth]
            if layer.slope is not None:
                delta = _activation_backward(delta, work.outputs[depth], layer.slope)
            if layer.bias is not None:
                torch.sum(delta, -1, out=grads[layer.bias])
            if depth:
                torch.bmm(delta, work.activated[depth - 1].mT, out=grads[layer.weight])
                delta = torch.bmm(weights[layer.weight].mT, delta, out=work.deltas[depth - 1])
            else:
                _first_gradient(delta, images, grads[layer.weight])
        return work.logits, grads

    def logits(self, weights: Weights, images: Tensor) -> Tensor:
        """Return the outputs of each member, in a buffer as in :meth:`gradient`."""
        return self._forward(weights, images).logits

    def buffers(self) -> list[Tensor]:
        """Return all memory that is kept between calls."""
        kept = list(self._grads.values())
        for work in self._workspaces.values():
            kept += [*work.outputs, *work.activated, *work.deltas]
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

    def _gradient_buffers(self, weights: Weights) -> dict[str, Tensor]:
        if not self._grads or any(self._grads[name].shape != w.shape for name, w in weights.items()):
            self._grads = {
                name: torch.empty_like(w, memory_format=torch.contiguous_format) for name, w in weights.items()
            }
        return dict(self._grads)


class _Workspace:
    """Activations of one batch, ``(members, features, batch)``.

    Attributes:
        outputs: of every layer, before its activation; but where that keeps the sign it works in place.
        activated: of every layer, behind its activation; the last are the logits.
        deltas: gradients by the outputs of every layer. Two buffers in turn hold them all: the smaller the workspace,
            the more weights stay in the cache.
    """

    def __init__(self, network: Network, members: int, groups: int, batch: int, like: Tensor) -> None:
        def empty(features: int) -> Tensor:
            return torch.empty(members, features, batch, dtype=like.dtype, device=like.device)

        self.members, self.groups, self.batch = members, groups, batch
        self.outputs = [empty(features) for features in network.sizes[1:]]
        self.activated = [
            torch.empty_like(out) if layer.slope is not None and layer.slope < 0 else out
            for layer, out in zip(network.layers, self.outputs, strict=True)
        ]
        turns = [empty(max(network.sizes[1:])).flatten() for _ in range(2)]
        self.deltas = [turns[i % 2][: out.numel()].view_as(out) for i, out in enumerate(self.outputs)]

    @property
    def logits(self) -> Tensor:
        return self.activated[-1]


def _first_gradient(delta: Tensor, images: Tensor, out: Tensor) -> None:
    """Multiply the deltas of every member with the images of its group: ``(members, features, in)``.

    One product a member, not one wide one as on the way forward: this product writes as much as it multiplies, and
    a wide one reads and writes its result by halves (1.3 to 1.5 times the time, measured, from 64 members on).
    """
    shared = len(delta) // len(images)
    if shared == 1:
        torch.bmm(delta, images, out=out)
        return
    for own, theirs, product in zip(delta.split(shared), images, out.split(shared), strict=True):
        torch.bmm(own, theirs.expand(shared, -1, -1), out=product)


def _activation(z: Tensor, slope: float, out: Tensor) -> None:
    if slope == 0:
        torch.clamp(z, min=0, out=out)
    else:
        torch._C._nn.leaky_relu(z, slope, out=out)


def _activation_backward(delta: Tensor, z: Tensor, slope: float) -> Tensor:
    if slope == 0:
        return torch.ops.aten.threshold_backward.grad_input(delta, z, 0, grad_input=delta)
    return torch.ops.aten.leaky_relu_backward.grad_input(delta, z, slope, False, grad_input=delta)
