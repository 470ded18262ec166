"""G-space: the values of basis paths as coordinates (thesis, chapter 2; maths.md, 2.2)."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from scaleinv.network import Graph, Weights
from scaleinv.skeleton import Pick, Skeleton
from scaleinv.spaces.base import (
    FIXES,
    NONE,
    NORMALISATIONS,
    OVERWRITE,
    Chart,
    Coords,
    ParameterSpace,
    PinnedChart,
    Support,
    per_entry,
    require_one_of,
    start_skeleton,
    supports_skeleton,
)
from scaleinv.symmetry import balance, to_gauge


@dataclass(frozen=True)
class GSpace(ParameterSpace):
    """Values of basis paths, ``V_e = P_tail(e) w_e S_head(e)`` for every free edge e; dimension m - K.

    P is the product of the skeleton's in-edges up to a node, S the product of its fixed out-edges behind it. A bias
    has ``V_b = S b``. All are invariant under rescaling. Training in V has poles where a root (the first free edge
    of a skeleton path) is zero.

    Attributes:
        skeleton: ``default`` (the source's diagonals), ``maxprod``, ``hungarian``, ``log_hungarian``, or explicit
            lists of an out-edge and an in-edge for each hidden node.
        fix: ``overwrite`` the fixed weights and the roots with ``value`` (the published way; it changes the
            function), ``keep`` them (the constant path factor), or ``rescale`` the fixed ones to +-1. The last two
            are the same algorithm (maths.md, theorem 4).
        value: the number that ``overwrite`` sets, or one a member.
        normalise: ``none``, or ``balanced``: divide V by ``|P S|`` at the balanced representative of the starting
            network, so that the coordinates start as its weights and learning rates keep their meaning.
    """

    skeleton: str | Mapping = "default"
    fix: str = OVERWRITE
    value: float | Tensor = 1.0
    normalise: str = "none"

    def __post_init__(self) -> None:
        """Check the options."""
        require_one_of("fix", self.fix, FIXES)
        require_one_of("normalise", self.normalise, NORMALISATIONS)

    def supports(self, graph: Graph) -> Support:
        """Refuse networks without hidden nodes, and skeletons that do not fit."""
        return supports_skeleton(graph, self.skeleton)

    def chart(self, graph: Graph, weights: Weights) -> Chart:
        """Freeze the skeleton, its fixed weights and the units of the coordinates."""
        self.supports(graph).raise_if_unsupported()
        started, skeleton = start_skeleton(graph, weights, self.skeleton, self.fix, self.value, roots=True)
        if self.normalise == NONE:
            return GSpaceChart(graph, skeleton, started)
        balanced = balance(graph, started)
        S, P = skeleton.suffix(graph, balanced), skeleton.prefix(graph, balanced)
        return GSpaceChart(graph, skeleton, balanced, _Units(S.abs(), P.abs()))


@dataclass(frozen=True)
class _Root:
    """The in-edges of a block, at least one of which is a root.

    Attributes:
        pick: the in-edges.
        is_root: which of them are roots.
        block: the classes they lead to.
        ends: the classes they lead from, ``(*members, n)``.
        is_inner: whether any of them starts at a hidden node; from the inputs, P is one.
    """

    pick: Pick
    is_root: Tensor
    block: slice
    ends: Tensor
    is_inner: bool


@dataclass(frozen=True)
class _Units:
    """Divisor of every coordinate, ``q_e = head[head(e)] * tail[tail(e)]``; shapes ``(*members, K + 1)``."""

    head: Tensor
    tail: Tensor


class GSpaceChart(PinnedChart):
    """Path values around given weights; the fixed weights stay where they are in those.

    Every map is a product of one factor per head, one per tail and one correction per root, so a step costs two
    passes over the matrices behind the first layer and none over the first, where P = 1 (maths.md, eq. 7 to 9).
    """

    def __init__(self, graph: Graph, skeleton: Skeleton, weights: Weights, units: _Units | None = None) -> None:
        """Freeze the chart at ``weights``; without ``units`` the coordinates are the path values themselves.

        Raises:
            ValueError: a root is zero, where the chart has a pole.
        """
        super().__init__(graph, skeleton, weights)
        self._S = skeleton.suffix(graph, weights)
        ones = torch.ones_like(self._S)
        self._units = units or _Units(ones, ones)
        # dV/dw = P S / q: the part that depends on the head is constant, and often one.
        self._head_factor = self._units.head / self._S
        self._scales_heads = bool((self._head_factor != 1).any())
        self._inner = [n for n, e in graph.edges.items() if e.tail.any()]
        self._find_roots()
        for root in self._roots:
            name = root.pick.name
            if (root.is_root & (root.pick.read(weights[name]) == 0)).any():
                raise ValueError(f"{name} is zero at a root of the skeleton, a pole of G-space; try maxprod")

    def _find_roots(self) -> None:
        """Find, for every class, the class whose in-edge is the first free edge of its skeleton path."""
        members = self._S.shape[:-1]
        root = torch.zeros(*members, self.graph.hidden + 1, dtype=torch.long, device=self._S.device)
        roots: list[_Root] = []
        for pick, free in zip(self.skeleton.into, self.skeleton.is_root(self.graph), strict=True):
            ends = pick.ends.expand(*members, -1)
            before = root.gather(-1, ends)
            root = root.index_copy(-1, pick.classes, torch.where(free, pick.classes, before))
            if free.any():
                block = slice(int(pick.classes[0]), int(pick.classes[-1]) + 1)
                roots.append(_Root(pick, free, block, ends, bool(ends.any())))
        self._root, self._roots = root, roots

    def _prefix(self, weights: Weights) -> Tensor:
        """Compute P from the roots: ``P_c = P_tail(r) w_r S_head(r) / S_c`` with r the root of c (eq. 5, 7)."""
        paths = torch.ones_like(self._S)
        for root in self._roots:
            values = root.pick.read(weights[root.pick.name]) * self._S[..., root.block]
            if root.is_inner:
                values = values * (paths.gather(-1, self._root) / self._S).gather(-1, root.ends)
            paths[..., root.block] = values
        return paths.gather(-1, self._root) / self._S

    def _factors(self, weights: Weights) -> Tensor:
        """Return the part of ``q / (P S)`` that depends on the tail, ``(*members, K + 1)``."""
        return self._units.tail / self._prefix(weights)

    def to_coords(self, weights: Weights) -> Coords:
        """Compute ``V_e = P_tail w_e S_head`` (eq. 6), in the chart's units."""
        S = self.skeleton.suffix(self.graph, weights) / self._units.head
        P = self.skeleton.prefix(self.graph, weights) / self._units.tail
        return self.unpinned({name: w * self._spread(name, S, P) for name, w in weights.items()})

    def to_weights(self, coords: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Compute ``w_e = V_e / (P_tail S_head)`` with ``P_c = V_root[c] / S_c`` (eq. 7)."""
        paths = torch.ones_like(self._S)
        for root in self._roots:
            q = self._units.head[..., root.block] * self._units.tail.gather(-1, root.ends)
            paths = paths.index_copy(-1, root.pick.classes, root.pick.read(coords[root.pick.name]) * q)
        tails = self._units.tail / (paths.gather(-1, self._root) / self._S)
        return self.pinned({name: c * self._spread(name, self._head_factor, tails) for name, c in coords.items()})

    def _spread(self, name: str, heads: Tensor, tails: Tensor) -> Tensor:
        """Return ``heads[head(e)] * tails[tail(e)]`` for the entries e of a tensor."""
        edges = self.graph.edges[name]
        return heads[..., edges.head] * tails[..., edges.tail]

    def pullback_(self, weights: Weights, grads: dict[str, Tensor]) -> dict[str, Tensor]:
        """Compute ``dL/dV_e = g_e / (P S) - [e is a root] (sum of g w behind it) / V_e`` (eq. 8), times q."""
        tails = self._factors(weights)
        self.unpin_(grads)
        psi = torch.zeros_like(self._S)
        for name in self._inner:
            _add_by_tail_(psi, self.graph.edges[name].tail, grads[name] * weights[name])
        behind = torch.zeros_like(psi).scatter_add_(-1, self._root, psi)
        for root in self._roots:
            correction = behind[..., root.block] / root.pick.read(weights[root.pick.name])
            root.pick.add_(grads[root.pick.name], torch.where(root.is_root, -correction, 0.0))
        self._to_units_(grads, tails)
        return grads

    def retract_(self, weights: dict[str, Tensor], direction: dict[str, Tensor], step: Tensor) -> None:
        """Compute ``w_e <- (w_e + step q d_e / (P S)) / R_tail``, R = new over old root value (eq. 9)."""
        tails = self._factors(weights)
        self._to_units_(direction, tails)
        ratio = torch.ones_like(self._S)
        for root in self._roots:
            name = root.pick.name
            moved = root.pick.read(direction[name]) * step.unsqueeze(-1) / root.pick.read(weights[name])
            ratio[..., root.block] += moved
        ratio = ratio.gather(-1, self._root)
        for name, w in weights.items():
            w.addcmul_(direction[name], per_entry(step, w))
        for name in self._inner:
            weights[name].div_(ratio[..., self.graph.edges[name].tail])
        for pick, values in self.pins:
            pick.write_(weights[pick.name], values)

    def _to_units_(self, tensors: dict[str, Tensor], tails: Tensor) -> None:
        """Multiply by ``q / (P S)`` in place, leaving out the factors that are one."""
        for name in self._inner:
            tensors[name].mul_(tails[..., self.graph.edges[name].tail])
        if self._scales_heads:
            for name, t in tensors.items():
                t.mul_(self._head_factor[..., self.graph.edges[name].head])

    def at(self, weights: Weights) -> "GSpaceChart":
        """Return the same chart with the coordinates of ``weights`` as its origin."""
        same = to_gauge(self.graph, weights, self.skeleton, self._S)
        return GSpaceChart(self.graph, self.skeleton, self.pinned(same), self._units)


def _add_by_tail_(totals: Tensor, tail: Tensor, values: Tensor) -> None:
    """Add ``values`` to ``totals`` at the class of each entry's tail."""
    shared = [dim for dim in range(-tail.dim(), 0) if tail.shape[dim] == 1]
    sums = values.sum(shared, keepdim=True) if shared else values
    totals.index_add_(-1, tail.flatten(), sums.reshape(*totals.shape[:-1], tail.numel()))
