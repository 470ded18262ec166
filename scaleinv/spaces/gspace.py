"""G-space: the values of basis paths as coordinates (thesis, chapter 2; maths.md, 2.2)."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from scaleinv.spaces._pinned import (
    BALANCED,
    FIXES,
    NORMALISATIONS,
    OVERWRITE,
    PinnedChart,
    check_value,
    require_invariant,
    require_one_of,
    start_skeleton,
    supports_skeleton,
)
from scaleinv.spaces.base import Chart, Coords, Frame, ParameterSpace, Support
from scaleinv.symmetry.balance import balance
from scaleinv.symmetry.graph import Graph, Weights
from scaleinv.symmetry.group import require_range, to_gauge
from scaleinv.symmetry.members import PerMember, per_entry
from scaleinv.symmetry.skeleton import Pick, Skeleton, add_at_, take


@dataclass(frozen=True)
class GSpace(ParameterSpace):
    """Values of basis paths, ``V_e = P_tail(e) w_e S_head(e)`` for every free edge e; dimension m - K.

    P is the product of the skeleton's in-edges up to a node, S the product of its fixed out-edges after it. A bias
    has ``V_b = S b``. All are invariant under rescaling. Training in V has poles where a root (the first free edge
    of a skeleton path) is zero.

    Attributes:
        skeleton: ``default`` (the source's diagonals), ``maxprod``, ``log_hungarian``, or explicit lists of an
            out-edge and an in-edge for each hidden node. Also the source's ``hungarian``, but not with ``balanced``:
            it gives a rescaled network other out-edges, so other coordinates.
        fix: ``overwrite`` the fixed weights and the roots with ``value`` (the published way; it changes the
            function), ``keep`` them (the constant path factor), or ``rescale`` the fixed ones to +-1. The last two
            are the same algorithm (maths.md, theorem 4).
        value: number that ``overwrite`` sets, or one per member; finite and not 0.
        normalise: ``none``, or ``balanced``: divide V by ``|P S|`` at the balanced representative of the starting
            network, so that the coordinates start as its weights and learning rates keep their meaning.
    """

    skeleton: str | Mapping = "default"
    fix: str = OVERWRITE
    value: PerMember = 1.0
    normalise: str = "none"

    def __post_init__(self) -> None:
        """Check the options."""
        require_one_of("fix", self.fix, FIXES)
        check_value(self.value)
        require_one_of("normalise", self.normalise, NORMALISATIONS)
        if self.normalise == BALANCED:
            require_invariant(self.skeleton)

    @property
    def ignored(self) -> Mapping[str, str]:
        """Only ``overwrite`` reads the value."""
        return {} if self.fix == OVERWRITE else {"value": f"fix={OVERWRITE}"}

    def supports(self, graph: Graph) -> Support:
        """Refuse networks without hidden nodes, and skeletons that do not fit."""
        return supports_skeleton(graph, self.skeleton)

    def chart(self, graph: Graph, weights: Weights) -> Chart:
        """Freeze the skeleton, its fixed weights and the units of the coordinates."""
        self.supports(graph).raise_if_unsupported()
        started, skeleton = start_skeleton(graph, weights, self.skeleton, self.fix, self.value, roots=True)
        units = None
        if self.normalise == BALANCED:
            started = balance(graph, started)
            units = _Units(skeleton.suffix(graph, started).abs(), skeleton.prefix(graph, started).abs())
        chart = GSpaceChart(graph, skeleton, started, units)
        chart.require_range()
        return chart


@dataclass(frozen=True)
class _Root:
    """The in-edges of a block, at least one of which is a root.

    Attributes:
        pick: in-edges of the block, one per channel.
        start: position of the first in-edge in vectors over all roots; the others follow.
        minus_is_root: -1 where an edge is a root, 0 elsewhere.
        scale: ``S_head / S_tail`` of the edges, so that ``V = V_before w scale``.
        unit: ``q S_tail / S_head`` of the edges, so that ``dw/dV = unit / V_before``, in the chart's units.
        before: position of the root before each edge; None if all edges start at the inputs.
    """

    pick: Pick
    start: int
    minus_is_root: Tensor
    scale: Tensor
    unit: Tensor
    before: Tensor | None

    def own(self, by_root: Tensor) -> Tensor:
        """Return the part of a vector over all roots that belongs to these in-edges, as a view."""
        return by_root.narrow(-1, self.start, self.pick.classes.numel())


@dataclass(frozen=True)
class _Reader:
    """A tensor with edges that start at hidden nodes.

    Attributes:
        tail: classes at the edges' tails, as in :class:`scaleinv.symmetry.graph.Edges`.
        roots: positions of the roots of those classes, flat; a slice if they are consecutive.
        numerator: ``q_tail S`` at those classes, flat; None if it is one everywhere.
    """

    tail: Tensor
    roots: slice | Tensor
    numerator: Tensor | None

    def spread(self, by_root: Tensor, numerator: Tensor | None = None) -> Tensor:
        """Return values per root (times the numerator) so that they broadcast against the tensor."""
        if isinstance(self.roots, slice):
            values = by_root.narrow(-1, self.roots.start, self.tail.numel())
        else:
            values = take(by_root, self.roots)
        if numerator is not None:
            values = values * numerator
        return values.view((*values.shape[:-1], *self.tail.shape))

    def collect_(self, by_root: Tensor, values: Tensor) -> None:
        """Add values per entry to the roots that they belong to."""
        shared = [dim for dim in range(-self.tail.dim(), 0) if self.tail.shape[dim] == 1]
        sums = (values.sum(shared, keepdim=True) if shared else values).reshape(*by_root.shape[:-1], self.tail.numel())
        if isinstance(self.roots, slice):
            by_root.narrow(-1, self.roots.start, self.tail.numel()).add_(sums)
        else:
            add_at_(by_root, self.roots, sums)


@dataclass(frozen=True)
class _PathFrame(Frame):
    """What the maps need at one point.

    Attributes:
        roots: weights of the roots, one tensor per :class:`_Root`.
        root_factors: ``dw/dV`` of the roots, one tensor per :class:`_Root`.
        tail_factors: ``q_tail / P_tail``, one tensor per :class:`_Reader`, by name.
    """

    roots: list[Tensor]
    root_factors: list[Tensor]
    tail_factors: dict[str, Tensor]


@dataclass(frozen=True)
class _Units:
    """Divisor of every coordinate, ``q_e = head[head(e)] * tail[tail(e)]``; shapes ``(*members, K + 1)``."""

    head: Tensor
    tail: Tensor


class GSpaceChart(PinnedChart):
    """Path values around the weights that the chart is made at; the fixed weights keep their values there.

    Every map is a product of one factor per head, one per tail and one correction per root, so a step costs two
    passes over the matrices after the first layer and none over the first, where P = 1 (maths.md, eq. 7 to 9).
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
        # dw/dV = q / (P S): the part that depends on the head is constant, and often one.
        self._head_factor = self._units.head / self._S
        self._scales_heads = bool((self._head_factor != 1).any())
        self._tail_numerator = self._units.tail * self._S
        self._position, self._roots = self._find_roots()
        self._readers = {name: self._reader(name) for name, e in graph.edges.items() if e.tail.any()}
        self._pins_of = {name: [(p, v) for p, v in self.pins if p.name == name] for name in graph.shapes}
        for root in self._roots:
            name = root.pick.name
            if ((root.minus_is_root != 0) & (root.pick.read(weights[name]) == 0)).any():
                raise ValueError(f"{name} is zero at a root of the skeleton, a pole of G-space; try maxprod")
        # Path values of the roots; the first stands for the inputs, where P = 1. Like the products, this memory is
        # used again at every step: fresh memory would cost more than the arithmetic.
        count = 1 + sum(root.pick.classes.numel() for root in self._roots)
        self._paths = self._S.new_ones(*self._S.shape[:-1], count)
        self._products: dict[str, Tensor] = {}

    def require_range(self) -> None:
        """Refuse factors of coordinates and of steps that the dtype cannot hold.

        Raises:
            ValueError: see :func:`scaleinv.symmetry.group.require_range`.
        """
        P = self.skeleton.prefix(self.graph, self.weights)
        require_range(torch.cat((self._S, P, self._head_factor.square()), -1))
        for name in self.graph.shapes:
            require_range(self._spread(name, self._S / self._units.head, P / self._units.tail))

    def _find_roots(self) -> "tuple[Tensor, list[_Root]]":
        """Find, for every class, the first free edge of its skeleton path, by its position among the roots."""
        is_free = self.skeleton.is_root(self.graph)
        # Without member dims if all members share the skeleton.
        members = torch.broadcast_shapes(*(free.shape[:-1] for free in is_free))
        position = torch.zeros(*members, self.graph.hidden + 1, dtype=torch.long, device=self._S.device)
        roots: list[_Root] = []
        count = 1
        for pick, free in zip(self.skeleton.into, is_free, strict=True):
            before = position.gather(-1, pick.ends.expand(*members, -1))
            if free.any():
                scale = self._S[..., pick.classes] / take(self._S, pick.ends)
                head_factor = self._head_factor[..., pick.classes]
                unit = head_factor * take(self._tail_numerator, pick.ends)
                minus = -free.to(self._S.dtype)
                before_or_none = before if before.any() else None
                roots.append(_Root(pick, count, minus, scale, unit, before_or_none))
                here = torch.arange(count, count + pick.classes.numel(), device=position.device)
                position = position.index_copy(-1, pick.classes, torch.where(free, here, before))
                count += pick.classes.numel()
            else:
                position = position.index_copy(-1, pick.classes, before)
        return position, roots

    def _reader(self, name: str) -> _Reader:
        tail = self.graph.edges[name].tail
        roots = self._position[..., tail.flatten()]
        start = int(roots.flatten()[0])
        follow = torch.arange(start, start + roots.shape[-1], device=roots.device)
        is_range = bool((roots == follow).all())
        numerator = self._tail_numerator[..., tail.flatten()]
        return _Reader(
            tail,
            slice(start, start + roots.shape[-1]) if is_range else roots,
            numerator if (numerator != 1).any() else None,
        )

    def begin(self, weights: dict[str, Tensor]) -> _PathFrame:
        """Read the roots and compute ``q_tail / P_tail``, with ``P_c = V_root(c) / S_c`` (eq. 5, 7).

        The path values of the roots, ``V_root = V_before w S_head / S_tail``, are computed block by block.
        """
        roots, root_factors = [], []
        for root in self._roots:
            roots.append(root.pick.read(weights[root.pick.name]))
            path, factor = roots[-1] * root.scale, root.unit
            if root.before is not None:
                before = take(self._paths, root.before)
                path, factor = path * before, factor / before
            root.own(self._paths).copy_(path)
            root_factors.append(factor)
        inverse = self._paths.reciprocal()
        tail_factors = {name: r.spread(inverse, r.numerator) for name, r in self._readers.items()}
        return _PathFrame(weights, roots, root_factors, tail_factors)

    def to_coords(self, weights: Weights) -> Coords:
        """Compute ``V_e = P_tail w_e S_head`` (eq. 6), in the chart's units."""
        S = self.skeleton.suffix(self.graph, weights) / self._units.head
        P = self.skeleton.prefix(self.graph, weights) / self._units.tail
        return self.unpinned({name: w * self._spread(name, S, P) for name, w in weights.items()})

    def to_weights(self, coords: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Compute ``w_e = V_e / (P_tail S_head)`` with ``P_c = V_root(c) / S_c`` (eq. 7)."""
        values = [self._S.new_ones(*self._S.shape[:-1], 1)]
        for root in self._roots:
            q = self._units.head[..., root.pick.classes] * take(self._units.tail, root.pick.ends)
            values.append(root.pick.read(coords[root.pick.name]) * q)
        tails = self._tail_numerator / take(torch.cat(values, -1), self._position)
        return self.pinned({name: c * self._spread(name, self._head_factor, tails) for name, c in coords.items()})

    def _spread(self, name: str, heads: Tensor, tails: Tensor) -> Tensor:
        """Return ``heads[head(e)] * tails[tail(e)]`` for the entries e of a tensor."""
        edges = self.graph.edges[name]
        return edges.at_heads(heads) * edges.at_tails(tails)

    def pullback_(self, frame: Frame, grads: dict[str, Tensor]) -> dict[str, Tensor]:
        """Compute ``dL/dV_e = g_e / (P S) - [e is a root] (sum of g w after it) / V_e`` (eq. 8), times q."""
        assert isinstance(frame, _PathFrame)
        corrections = self._pull_readers_(frame, grads)
        for name, g in grads.items():
            if name not in self._readers:
                self._scale_heads_(name, g)
        for root, correction in zip(self._roots, corrections, strict=True):
            root.pick.add_(grads[root.pick.name], correction)
        return grads

    def pullback_metric(self, frame: Frame, metric: dict[str, Tensor]) -> dict[str, Tensor]:
        """Compute ``m_e / (P S)^2 + [e is a root] (sum of m w^2 after it) / V_e^2``, times q^2.

        Where ``dw_a/dV_e`` is not ``[a = e] / (P S)``, e is a root and a comes after it: then it is ``-w_a / V_e``.
        """
        assert isinstance(frame, _PathFrame)
        sums, result = torch.zeros_like(self._paths), {}
        for name, m in metric.items():
            result[name] = m.clone(memory_format=torch.contiguous_format)
            if (reader := self._readers.get(name)) is not None:
                for pick, _ in self._pins_of[name]:
                    pick.zero_(result[name])
                reader.collect_(sums, self._product(name, result[name], frame.weights[name].square()))
                result[name].mul_(frame.tail_factors[name].square())
            self._scale_heads_(name, result[name])
            self._scale_heads_(name, result[name])
        for root, w, factor in zip(self._roots, frame.roots, frame.root_factors, strict=True):
            after = root.own(sums) * (factor / w).square()
            root.pick.add_(result[root.pick.name], after.mul_(-root.minus_is_root))
        return result

    def retract_(self, frame: Frame, direction: dict[str, Tensor], step: Tensor) -> None:
        """Compute ``w_e <- (w_e + step q d_e / (P S)) / R_tail``, R = new over old root value (eq. 9)."""
        assert isinstance(frame, _PathFrame)
        at_roots = [root.pick.read(direction[root.pick.name]) for root in self._roots]
        self._move_readers_(frame, direction, at_roots, step)
        for name, w in frame.weights.items():
            if name not in self._readers:
                self._scale_heads_(name, direction[name])
                w.addcmul_(direction[name], per_entry(step, w))

    def _pull_readers_(self, frame: _PathFrame, grads: dict[str, Tensor]) -> list[Tensor]:
        """Pull back the gradients after the roots, the fixed ones to zero; return what equation 8 adds at the roots."""
        sums = torch.zeros_like(self._paths)
        # One tensor at a time, so that it stays in the cache for all its operations.
        for name, reader in self._readers.items():
            g = grads[name]
            for pick, _ in self._pins_of[name]:
                pick.zero_(g)
            reader.collect_(sums, self._product(name, g, frame.weights[name]))
            g.mul_(frame.tail_factors[name])
            self._scale_heads_(name, g)
        return [
            (root.own(sums) * factor).div_(w).mul_(root.minus_is_root)
            for root, w, factor in zip(self._roots, frame.roots, frame.root_factors, strict=True)
        ]

    def _move_readers_(self, frame: _PathFrame, direction: Weights, at_roots: list[Tensor], step: Tensor) -> None:
        """Move the tensors after the roots by equation 9; overwrites ``at_roots``, the direction at the roots."""
        ratio = torch.ones_like(self._paths)
        for root, d, w, factor in zip(self._roots, at_roots, frame.roots, frame.root_factors, strict=True):
            root.own(ratio).add_(d.mul_(step.unsqueeze(-1)).mul_(factor).div_(w))
        inverse = ratio.reciprocal_()
        # One tensor at a time, small factors first, so that it stays in the cache for all its operations.
        for name, reader in self._readers.items():
            w, d = frame.weights[name], direction[name]
            self._scale_heads_(name, d)
            w.addcmul_(d, frame.tail_factors[name] * per_entry(step, w)).mul_(reader.spread(inverse))
            for pick, values in self._pins_of[name]:
                pick.write_(w, values)

    def _scale_heads_(self, name: str, tensor: Tensor) -> None:
        """Multiply by ``q_head / S_head`` in place, unless that is one everywhere."""
        if self._scales_heads:
            tensor.mul_(self.graph.edges[name].at_heads(self._head_factor))

    def _product(self, name: str, first: Tensor, second: Tensor) -> Tensor:
        """Multiply into a buffer that the chart keeps."""
        if name not in self._products:
            self._products[name] = torch.empty_like(first)
        return torch.mul(first, second, out=self._products[name])

    def at(self, weights: Weights) -> "GSpaceChart":
        """Return the same chart with the coordinates of ``weights`` as its origin."""
        same = to_gauge(self.graph, weights, self.skeleton, [values for _, values in self.pins])
        return GSpaceChart(self.graph, self.skeleton, self.pinned(same), self._units)
