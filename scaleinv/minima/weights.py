"""Distances, averages and segments between weights, with the symmetries taken out or not."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from scaleinv.symmetry.balance import balance
from scaleinv.symmetry.graph import Weights
from scaleinv.symmetry.network import Network
from scaleinv.symmetry.permutation import match, permute

# What is taken out before weights are compared.
MODULO = ("none", "scale", "permutation", "both")


def check_modulo(modulo: str) -> None:
    """Refuse anything but one of ``MODULO``.

    Raises:
        ValueError: it is something else.
    """
    if modulo not in MODULO:
        raise ValueError(f"modulo must be one of {', '.join(MODULO)}, got {modulo!r}")


def represent(network: Network, weights: Sequence[Weights], modulo: str) -> list[dict[str, Tensor]]:
    """Return the same functions as weights that can be compared entry by entry.

    Args:
        network: description of all of them.
        weights: sets of weights, ``(own shape)``; the channels of the others are matched to those of the first.
        modulo: ``none`` leaves them as they are; ``scale`` brings each to the balanced gauge, which is the least-norm
            point of its orbit; ``permutation`` matches hidden channels at the least sum of squared differences, layer
            by layer; ``both`` does that in the balanced gauge.

    Raises:
        ValueError: no such ``modulo``, no balanced gauge, or channels that cannot change places.
    """
    check_modulo(modulo)
    graph = network.graph
    placed = [balance(graph, w) if modulo in ("scale", "both") else dict(w) for w in weights]
    if modulo in ("permutation", "both"):
        placed = [placed[0], *(permute(graph, w, match(graph, w, placed[0])) for w in placed[1:])]
    return placed


def distance(network: Network, first: Weights, second: Weights, modulo: str = "scale") -> Tensor:
    """Compute the Euclidean distance between the representatives of two sets of weights, in float64, shape ``()``."""
    one, other = represent(network, (first, second), modulo)
    squares = [(one[name].double() - other[name].double()).square().sum() for name in network.graph.shapes]
    return torch.stack(squares).sum().sqrt()


def average(network: Network, weights: Sequence[Weights], modulo: str = "scale") -> dict[str, Tensor]:
    """Average the representatives of several sets of weights.

    Raises:
        ValueError: there are none.
    """
    if not weights:
        raise ValueError("there is nothing to average: the list of networks is empty")
    placed = represent(network, weights, modulo)
    return {name: torch.stack([w[name] for w in placed]).mean(0) for name in network.graph.shapes}


def segment(
    network: Network, first: Weights, second: Weights, loss: Callable[[Weights], float], modulo: str, points: int
) -> tuple[Tensor, Tensor]:
    """Evaluate a loss along the straight segment between the representatives of two sets of weights.

    Returns:
        Positions from 0 to 1, and the losses there; both float64 ``(points,)``.

    Raises:
        ValueError: fewer than two points.
    """
    if points < 2:
        raise ValueError(f"a segment has at least its two ends, got points={points}")
    one, other = represent(network, (first, second), modulo)
    at = torch.linspace(0, 1, points, dtype=torch.float64)
    losses = [loss({name: torch.lerp(one[name], other[name], t) for name in one}) for t in at.tolist()]
    return at, torch.tensor(losses, dtype=torch.float64)
