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
    """What a batch, or several, cost each member.

    Attributes:
        loss: sum of the cross-entropy over the images, in nats, shape ``(members,)``.
        correct: number of images whose largest output is their label, shape ``(members,)``.
    """

    loss: Tensor
    correct: Tensor


class Backprop:
    """Forward and backward passes of one network, for stacks of members."""

    def __init__(self, network: Network) -> None:
        """Prepare for ``network``; buffers are made on first use and used again for the same shapes."""
        self.network = network
        self._workspaces: dict[tuple[int, int, int], _Workspace] = {}
        self._grads: dict[str, Tensor] = {}

    def loss_and_grad(self, weights: Weights, images: Tensor, labels: Tensor) -> tuple[Score, dict[str, Tensor]]:
        """Compute the mean cross-entropy's gradient for every member (thesis, eq. 1.7).

        Args:
            weights: tensors ``(members, ...)``, contiguous, members ordered by group.
            images: float ``(groups, batch, in)``; members are split evenly over the groups.
            labels: ``(groups, batch)``.

        Returns:
            The score of each member and the gradients ``(members, ...)``. Both live in buffers that the next call
            overwrites.
        """
        layers = self.network.layers
        work = self._forward(weights, images)
        targets = _per_member(labels, work.members)
        score = work.score(targets)
        # d loss / d logits = (softmax - one-hot) / batch.
        delta = work.logs.exp_()
        delta.scatter_add_(1, targets[:, None], work.minus_ones)
        delta.div_(work.batch)
        grads = self._gradient_buffers(weights)
        for depth in range(len(layers) - 1, -1, -1):
            layer = layers[depth]
            if layer.slope is not None:
                delta = _activation_backward(delta, work.outputs[depth], layer.slope)
            if layer.bias is not None:
                torch.sum(delta, -1, out=grads[layer.bias])
            if depth:
                torch.bmm(delta, work.inputs[depth].mT, out=grads[layer.weight])
                delta = torch.bmm(weights[layer.weight].mT, delta, out=work.deltas[depth])
            else:
                wide = grads[layer.weight].view(work.groups, -1, images.shape[-1])
                torch.bmm(delta.view(work.groups, -1, work.batch), images, out=wide)
        return score, grads

    def score(self, weights: Weights, images: Tensor, labels: Tensor) -> Score:
        """Return the score of each member without gradients; arguments as in :meth:`loss_and_grad`."""
        work = self._forward(weights, images)
        return work.score(_per_member(labels, work.members))

    def buffers(self) -> list[Tensor]:
        """Return all memory that is kept between calls."""
        kept = list(self._grads.values())
        for work in self._workspaces.values():
            kept += [*work.outputs, *work.inputs, work.logs, *(d for d in work.deltas if d is not None)]
        return kept

    def _forward(self, weights: Weights, images: Tensor) -> "_Workspace":
        """Fill a workspace with every layer's outputs before and behind its activation."""
        work = self._workspace(weights, images)
        for depth, layer in enumerate(self.network.layers):
            matrix, out = weights[layer.weight], work.outputs[depth]
            if depth:
                torch.bmm(matrix, work.inputs[depth], out=out)
            else:
                wide = matrix.view(work.groups, -1, images.shape[-1])
                torch.bmm(wide, images.mT, out=out.view(work.groups, -1, work.batch))
            if layer.bias is not None:
                out += weights[layer.bias][..., None]
            if layer.slope is not None:
                _activation(out, layer.slope, work.inputs[depth + 1])
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
        outputs: of every layer, before its activation.
        inputs: of every layer, behind the activation before it; the first is unused, the last are the logits.
        deltas: gradients by the inputs of every layer.
        logs: logarithms of the predicted probabilities.
    """

    def __init__(self, network: Network, members: int, groups: int, batch: int, like: Tensor) -> None:
        def empty(features: int) -> Tensor:
            return torch.empty(members, features, batch, dtype=like.dtype, device=like.device)

        self.members, self.groups, self.batch = members, groups, batch
        self.outputs = [empty(features) for features in network.sizes[1:]]
        self.inputs = [
            empty(features) if before and before.slope is not None else self.outputs[depth - 1]
            for depth, (features, before) in enumerate(zip(network.sizes, [None, *network.layers], strict=True))
        ]
        self.deltas = [empty(features) if depth else None for depth, features in enumerate(network.sizes[:-1])]
        self.logs = empty(network.sizes[-1])
        self.minus_ones = self.logs.new_full((1, 1, 1), -1.0).expand(members, 1, batch)

    def score(self, targets: Tensor) -> Score:
        logits = self.inputs[-1]
        torch.log_softmax(logits, 1, out=self.logs)
        losses = self.logs.gather(1, targets[:, None]).sum((1, 2)).neg_()
        return Score(losses, (logits.max(1).indices == targets).sum(1))


def _activation(z: Tensor, slope: float, out: Tensor) -> None:
    if slope == 0:
        torch.clamp(z, min=0, out=out)
    else:
        torch._C._nn.leaky_relu(z, slope, out=out)


def _activation_backward(delta: Tensor, z: Tensor, slope: float) -> Tensor:
    if slope == 0:
        return torch.ops.aten.threshold_backward.grad_input(delta, z, 0, grad_input=delta)
    return torch.ops.aten.leaky_relu_backward.grad_input(delta, z, slope, False, grad_input=delta)


def _per_member(labels: Tensor, members: int) -> Tensor:
    """Repeat the labels of each group for its members: ``(groups, batch)`` to ``(members, batch)``."""
    groups, batch = labels.shape
    return labels[:, None].expand(groups, members // groups, batch).reshape(members, batch)
