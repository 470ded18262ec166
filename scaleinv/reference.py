"""Slow, obvious versions of what the library does fast: a reference for the tests and for readers.

Path enumeration and dense Jacobians are for tiny chains of one member (no member dims). Edges are
``(tensor name, flat position)`` pairs.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from scaleinv.symmetry.graph import Weights
from scaleinv.symmetry.network import Network
from scaleinv.symmetry.skeleton import Skeleton
from scaleinv.training.data import Dataset, batch_order

Edge = tuple[str, int]


def paths(network: Network) -> Iterator[tuple[Edge, ...]]:
    """Yield every path from an input, or from the source of the biases, to an output (thesis, 2.1.2)."""

    def onwards(depth: int, node: int, walked: tuple[Edge, ...]) -> Iterator[tuple[Edge, ...]]:
        if depth == len(network.chain):
            yield walked
            return
        name = network.chain[depth].weight
        out, into = network.graph.shapes[name]
        for row in range(out):
            yield from onwards(depth + 1, row, (*walked, (name, row * into + node)))

    for start in range(network.sizes[0]):
        yield from onwards(0, start, ())
    for depth, layer in enumerate(network.chain):
        if layer.bias is not None:
            for row in range(network.sizes[depth + 1]):
                yield from onwards(depth + 1, row, ((layer.bias, row),))


def path_value(weights: Weights, path: tuple[Edge, ...]) -> float:
    """Multiply the weights along a path (thesis, eq. 2.5)."""
    value = 1.0
    for name, position in path:
        value *= weights[name].flatten()[position].item()
    return value


def edges(network: Network) -> list[Edge]:
    """List every entry of every tensor, layer by layer, so that the edges of a path come in path order."""
    return [
        (name, position)
        for layer in network.chain
        for name in (layer.weight, layer.bias)
        if name is not None
        for position in range(int(np.prod(network.graph.shapes[name])))
    ]


def basis(network: Network, skeleton: Skeleton) -> dict[Edge, tuple[Edge, ...]]:
    """Build the basis path of every free edge: along A to its tail, the edge, along T from its head."""
    graph = network.graph
    out = {int(c): (p.name, int(i)) for p in skeleton.out for c, i in zip(p.classes, p.index, strict=True)}
    into = {int(c): (p.name, int(i)) for p in skeleton.into for c, i in zip(p.classes, p.index, strict=True)}

    def end(edge: Edge, side: str) -> int:
        name, position = edge
        classes = getattr(graph.edges[name], side).expand(graph.shapes[name])
        return int(classes.flatten()[position])

    fixed = set(out.values())
    basis_paths = {}
    for edge in edges(network):
        if edge in fixed:
            continue
        before: list[Edge] = []
        node = end(edge, "tail")
        while node:
            before.insert(0, into[node])
            node = end(into[node], "tail")
        after: list[Edge] = []
        node = end(edge, "head")
        while node:
            after.append(out[node])
            node = end(out[node], "head")
        basis_paths[edge] = (*before, edge, *after)
    return basis_paths


def exponents(network: Network, chosen: dict[Edge, tuple[Edge, ...]]) -> np.ndarray:
    """Return the structure matrix (thesis, eq. 2.4): how often each path (row) uses each weight (column)."""
    columns = {edge: i for i, edge in enumerate(edges(network))}
    matrix = np.zeros((len(chosen), len(columns)))
    for row, path in enumerate(chosen.values()):
        for edge in path:
            matrix[row, columns[edge]] += 1
    return matrix


def path_gradient(network: Network, weights: Weights, grads: Weights, skeleton: Skeleton) -> dict[Edge, float]:
    """Solve ``g = J^T dL/dV`` for the free weights, with the dense Jacobian ``J = dV/dw`` (thesis, eq. 2.7)."""
    chosen = basis(network, skeleton)
    matrix = np.zeros((len(chosen), len(chosen)))
    columns = {edge: i for i, edge in enumerate(chosen)}
    for row, path in enumerate(chosen.values()):
        for edge in path:
            if edge in columns:
                others = [e for e in path if e != edge]
                repeats = path.count(edge)
                matrix[row, columns[edge]] = repeats * path_value(weights, (*others, *[edge] * (repeats - 1)))
    g = np.array([grads[name].flatten()[position].item() for name, position in chosen])
    return dict(zip(chosen, np.linalg.solve(matrix.T, g), strict=True))


def path_step(network: Network, weights: Weights, grads: Weights, skeleton: Skeleton, lr: float) -> dict[str, Tensor]:
    """Take one gradient step on the basis path values and find the weights that have the new values."""
    chosen = basis(network, skeleton)
    gradient = path_gradient(network, weights, grads, skeleton)
    moved = {name: w.clone() for name, w in weights.items()}
    for edge, path in chosen.items():
        value = path_value(weights, path) - lr * gradient[edge]
        rest = path_value(moved, tuple(e for e in path if e != edge))
        moved[edge[0]].view(-1)[edge[1]] = value / rest
    return moved


def published_step(matrices: list[Tensor], grads: list[Tensor], lr: float) -> list[Tensor]:
    """Take one G-SGD step as published: bias-free, equal hidden widths, skeleton weights one (maths.md, 5.3).

    ``R_j = 1 - lr (g_j w_j - psi_j) / w_j^2``; ``w_j <- R_j w_j``; the first layer ``w - lr g``; after it
    ``w <- (w - lr g / w_j^2) / R_j``, except on the diagonal, which is fixed.
    """
    width, inputs = matrices[0].shape
    node = torch.arange(width)
    w_j, g_j = matrices[0][node, node % inputs], grads[0][node, node % inputs]
    free = []
    for matrix in matrices[1:]:
        mask = torch.ones_like(matrix, dtype=torch.bool)
        mask[node % matrix.shape[0], node] = False
        free.append(mask)
    psi = sum((g * w * mask).sum(0) for g, w, mask in zip(grads[1:], matrices[1:], free, strict=True))
    ratio = 1 - lr * (g_j * w_j - psi) / w_j.square()
    first = matrices[0] - lr * grads[0]
    first[node, node % inputs] = w_j * ratio
    later = [
        torch.where(mask, (w - lr * g / w_j.square()) / ratio, w)
        for w, g, mask in zip(matrices[1:], grads[1:], free, strict=True)
    ]
    return [first, *later]


def gradients(network: Network, weights: Weights, images: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Compute the mean cross-entropy and its gradient by autograd; member dims allowed.

    Args:
        network: the description.
        weights: tensors ``(*members, own shape)``.
        images: float ``(*members, batch, features)``, or ``(batch, features)`` for all members.
        labels: ``(batch,)``, the same for all members.

    Returns:
        The loss of each member, ``(*members,)``, and the gradients.
    """
    with torch.enable_grad():
        leaves = {name: w.detach().requires_grad_() for name, w in weights.items()}
        outputs = network.forward(leaves, images)
        targets = labels.expand(outputs.shape[:-1])
        losses = nn.functional.cross_entropy(
            outputs.movedim(-1, 1) if outputs.dim() > 2 else outputs, targets, reduction="none"
        )
        losses = losses.mean(-1)
        grads = torch.autograd.grad(losses.sum(), list(leaves.values()))
    return losses.detach(), dict(zip(leaves, grads, strict=True))


def train_serial(
    network: Network,
    dataset: Dataset,
    seed: int,
    make_optimizer: Callable[[nn.Module], torch.optim.Optimizer],
    epochs: int,
    batch_size: int = 64,
    prepare: Callable[[nn.Module], object] | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy,
) -> list[dict[str, float]]:
    """Train a single network, with a plain module and an optimizer with ``torch.optim``'s interface.

    Args:
        network: the description.
        dataset: what to train on.
        seed: seed of the initialisation and of the order of the batches.
        make_optimizer: makes the optimizer of a module.
        epochs: number of epochs.
        batch_size: images per step.
        prepare: called with the module before training, e.g. to fix weights.
        loss: function of outputs ``(batch, classes)`` and labels ``(batch,)``; the mean over the batch.

    Returns:
        One dict per epoch with train_loss, train_accuracy, val_loss and val_accuracy.
    """
    weights = network.init([seed], dataset.scale.dtype)
    model = network.make().to(dataset.scale.dtype).to(dataset.scale.device)
    names = [name for layer in network.chain for name in (layer.weight, layer.bias) if name is not None]
    with torch.no_grad():
        for parameter, name in zip(model.parameters(), names, strict=True):
            parameter.copy_(weights[name][0])
    if prepare:
        prepare(model)
    optimizer = make_optimizer(model)
    rows = []
    for epoch in range(1, epochs + 1):
        order = batch_order(seed, epoch, len(dataset.train)).to(dataset.scale.device)
        loss_sum, correct = 0.0, 0
        for start in range(0, len(order), batch_size):
            index = order[start : start + batch_size]
            images, labels = dataset.normalise(dataset.train.images[index]), dataset.train.labels[index]
            with torch.enable_grad():
                outputs = model(images)
                batch_loss = loss(outputs, labels)
                optimizer.zero_grad()
                batch_loss.backward()
            optimizer.step()
            loss_sum += batch_loss.item() * len(index)
            correct += int((outputs.argmax(1) == labels).sum())
        with torch.no_grad():
            outputs = model(dataset.normalise(dataset.val.images))
            val_loss = loss(outputs, dataset.val.labels).item()
            val_correct = int((outputs.argmax(1) == dataset.val.labels).sum())
        rows.append(
            {
                "train_loss": loss_sum / len(order),
                "train_accuracy": correct / len(order),
                "val_loss": val_loss,
                "val_accuracy": val_correct / len(dataset.val),
            }
        )
    return rows
