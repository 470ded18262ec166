"""Charts that keep a skeleton's out-edges fixed, and how those edges start."""

from collections.abc import Mapping

import torch
from torch import Tensor

from scaleinv.spaces.base import Chart, Support
from scaleinv.symmetry.graph import Graph, Weights
from scaleinv.symmetry.group import require_finite, require_nonzero, to_unit_gauge
from scaleinv.symmetry.members import PerMember
from scaleinv.symmetry.skeleton import CHANGE_UNDER_RESCALING, Pick, Skeleton, check_choice, choose

# How the skeleton's weights start (config key ``fix``).
OVERWRITE, KEEP, RESCALE = FIXES = ("overwrite", "keep", "rescale")

# Units of the coordinates (config key ``normalise``).
NONE, BALANCED = NORMALISATIONS = ("none", "balanced")


def require_one_of(option: str, value: object, allowed: tuple[str, ...]) -> None:
    """Refuse a value that the option does not allow.

    Raises:
        ValueError: naming the option.
    """
    if value not in allowed:
        raise ValueError(f"{option} must be one of {', '.join(allowed)}, got {value!r}")


def require_invariant(choice: str | Mapping) -> None:
    """Refuse a skeleton that changes under rescaling, for spaces that promise invariance.

    Raises:
        ValueError: the skeleton changes; the message names one that does not.
    """
    if choice in CHANGE_UNDER_RESCALING:
        raise ValueError(f"the skeleton {choice} changes when the network is rescaled; log_hungarian does not")


def check_value(value: PerMember) -> None:
    """Refuse values that a fixed weight cannot have.

    Raises:
        ValueError: a value is 0, NaN or infinite.
    """
    values = torch.as_tensor(value)
    if not (values.isfinite() & (values != 0)).all():
        raise ValueError(f"value must be finite and not 0, got {value}")


def supports_skeleton(graph: Graph, choice: str | Mapping) -> Support:
    """Refuse networks that have no rescaling symmetry, and skeletons that do not fit the network."""
    if not graph.hidden:
        return Support(("the network has no hidden node, so there is nothing to rescale and nothing to fix",))
    try:
        check_choice(choice, graph)
    except ValueError as error:
        return Support((str(error),))
    return Support()


def start_skeleton(
    graph: Graph, weights: Weights, choice: str | Mapping, fix: str, value: PerMember, roots: bool
) -> tuple[dict[str, Tensor], Skeleton]:
    """Choose the skeleton and give its weights their starting values.

    Args:
        graph: graph of the network.
        weights: tensors ``(*members, own shape)``.
        choice: name of the skeleton, or its explicit lists; see :func:`scaleinv.symmetry.skeleton.choose`.
        fix: ``overwrite`` sets the out-edges to ``value`` (this changes the function), ``rescale`` brings them to
            +-1 without changing it, ``keep`` leaves them.
        value: value of the overwritten weights, or one per member, shape ``(*members,)``; not 0.
        roots: whether ``overwrite`` sets the skeleton's free in-edges too.

    Returns:
        The starting weights and the skeleton.

    Raises:
        ValueError: a weight is not finite, an out-edge is zero, or ``rescale`` leaves the range of the dtype.
    """
    require_finite(weights)
    skeleton = choose(choice, graph, weights)
    started = dict(weights)
    if fix == OVERWRITE:
        values = torch.as_tensor(value, dtype=next(iter(weights.values())).dtype).unsqueeze(-1)
        for pick, overwrite in zip(skeleton.into, skeleton.is_root(graph), strict=True):
            if roots:
                old = pick.read(started[pick.name])
                new = torch.where(overwrite, values.to(old.device), old)
                started[pick.name] = pick.write(started[pick.name], new)
        for pick in skeleton.out:
            started[pick.name] = pick.write(started[pick.name], values.to(started[pick.name].device))
    require_nonzero(graph, started, skeleton)
    if fix == RESCALE:
        started = to_unit_gauge(graph, started, skeleton)
    return started, skeleton


class PinnedChart(Chart):
    """A chart that keeps the out-edges of a skeleton at their starting values."""

    def __init__(self, graph: Graph, skeleton: Skeleton, weights: Weights) -> None:
        """Pin the out-edges of ``skeleton`` at their values in ``weights``."""
        super().__init__(graph, weights, graph.parameters - graph.hidden)
        self.skeleton = skeleton
        self.pins: list[tuple[Pick, Tensor]] = [(p, p.read(weights[p.name])) for p in skeleton.out]

    def fixed(self) -> dict[str, Tensor]:
        """Return masks that are True at the skeleton's out-edges."""
        return self.skeleton.fixed(self.graph)

    def pinned(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors with the fixed weights in their places; differentiable."""
        result = dict(tensors)
        for pick, values in self.pins:
            result[pick.name] = pick.write(result[pick.name], values)
        return result

    def unpinned(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors with zeros in the places of the fixed weights; differentiable."""
        result = dict(tensors)
        for pick, _ in self.pins:
            result[pick.name] = pick.write(result[pick.name], 0.0)
        return result

    def pin_(self, tensors: Mapping[str, Tensor]) -> None:
        """Put the fixed weights back into their places."""
        for pick, values in self.pins:
            pick.write_(tensors[pick.name], values)

    def unpin_(self, tensors: Mapping[str, Tensor]) -> None:
        """Set the places of the fixed weights to zero in place."""
        for pick, _ in self.pins:
            pick.zero_(tensors[pick.name])
