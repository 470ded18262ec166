"""G-space: the values of basis paths as coordinates (thesis, chapter 2; maths.md, 2.2)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from scaleinv.spaces import _foreach as foreach
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
from scaleinv.symmetry.members import PerMember
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
class _Roots:
    """The in-edges of all blocks that have a root among them, in one row after another.

    Attributes:
        picks: in-edges of each block, one per channel.
        counts: number of in-edges of each block.
        minus_is_root: -1 where an edge is a root, 0 elsewhere.
        scale: ``S_head / S_tail`` of the edges, so that ``V = V_before w scale``.
        unit: ``q S_tail / S_head`` of the edges, so that ``dw/dV = unit / V_before``, in the chart's units.
        before: position of the root before each edge, where 0 stands for the inputs.
        follow: number of each block that follows another one, and the positions before its edges.
    """

    picks: list[Pick]
    counts: list[int]
    minus_is_root: Tensor
    scale: Tensor
    unit: Tensor
    before: Tensor
    follow: list[tuple[int, Tensor]]

    def read(self, tensors: Weights) -> Tensor:
        """Return the entries of tensors at the in-edges, in a row."""
        return torch.cat([pick.read(tensors[pick.name]) for pick in self.picks], -1)

    def add_(self, tensors: Weights, values: Tensor) -> None:
        """Add a row of values to the entries of tensors at the in-edges."""
        for pick, own in zip(self.picks, values.split_with_sizes(self.counts, -1), strict=True):
            pick.add_(tensors[pick.name], own)


@dataclass(frozen=True)
class _Reader:
    """A tensor with edges that start at hidden nodes.

    Attributes:
        name: name of the tensor.
        shape: shape in which a value per tail broadcasts against the tensor, member dims included.
        row: shape of the same values in a row, ``(*members, number of tails)``.
        shared: dims along which the tensor's entries share their tails.
    """

    name: str
    shape: tuple[int, ...]
    row: tuple[int, ...]
    shared: list[int]

    def sum(self, values: Tensor) -> Tensor:
        """Sum values per entry over the entries that share a tail, in a row."""
        return (values.sum(self.shared) if self.shared else values).view(self.row)


@dataclass(frozen=True)
class _Readers:
    """All tensors with edges that start at hidden nodes, and their tails, in one row after another.

    Attributes:
        tensors: the tensors.
        roots: positions of the roots of the tails.
        numerator: ``q_tail S`` at the tails; None if it is one everywhere.
    """

    tensors: list[_Reader]
    roots: Tensor
    numerator: Tensor | None

    def spread(self, row: Tensor) -> list[Tensor]:
        """Return values per tail so that they broadcast against the tensors."""
        parts = row.split_with_sizes([reader.row[-1] for reader in self.tensors], -1)
        return [part.view(reader.shape) for reader, part in zip(self.tensors, parts, strict=True)]


@dataclass(frozen=True)
class _PathFrame(Frame):
    """What the maps need at one point.

    Attributes:
        roots: weights of the roots, in a row.
        root_factors: ``dw/dV`` of the roots, in a row.
        tail_factors: ``q_tail / P_tail`` of the readers, in a row.
    """

    roots: Tensor
    root_factors: Tensor
    tail_factors: Tensor


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
        # Kept, because looking them up takes longer than multiplying a small layer by them.
        self._heads = {name: e.at_heads(self._head_factor) for name, e in graph.edges.items()}
        self._tail_numerator = self._units.tail * self._S
        self._position, self._roots = self._find_roots()
        self._readers = self._find_readers()
        self._first = [name for name, e in graph.edges.items() if not e.tail.any()]
        self._pins_of = {name: [(p, v) for p, v in self.pins if p.name == name] for name in graph.shapes}
        if ((self._roots.minus_is_root != 0) & (self._roots.read(weights) == 0)).any():
            at = next(p.name for p in self._roots.picks if (p.read(weights[p.name]) == 0).any())
            raise ValueError(f"{at} is zero at a root of the skeleton, a pole of G-space; try maxprod")
        # Path values of the roots; the first stands for the inputs, where P = 1. Like the products, this memory is
        # used again at every step: fresh memory would cost more than the arithmetic.
        self._paths = self._S.new_ones(*self._S.shape[:-1], 1 + sum(self._roots.counts))
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

    def _find_roots(self) -> tuple[Tensor, _Roots]:
        """Find, for every class, the first free edge of its skeleton path, by its position among the roots."""
        is_free = self.skeleton.is_root(self.graph)
        # Without member dims if all members share the skeleton.
        members = torch.broadcast_shapes(*(free.shape[:-1] for free in is_free))
        position = torch.zeros(*members, self.graph.hidden + 1, dtype=torch.long, device=self._S.device)
        picks: list[Pick] = []
        befores, frees, follow = [], [], []
        count = 1
        for pick, free in zip(self.skeleton.into, is_free, strict=True):
            before = position.gather(-1, pick.ends.expand(*members, -1))
            if free.any():
                if before.any():
                    follow.append((len(picks), before))
                picks.append(pick)
                befores.append(before)
                frees.append(free.expand(*members, -1))
                here = torch.arange(count, count + pick.classes.numel(), device=position.device)
                position = position.index_copy(-1, pick.classes, torch.where(free, here, before))
                count += pick.classes.numel()
            else:
                position = position.index_copy(-1, pick.classes, before)
        classes = torch.cat([pick.classes for pick in picks])
        ends = torch.cat([pick.ends.expand(*members, -1) for pick in picks], -1)
        scale = self._S[..., classes] / take(self._S, ends)
        unit = self._head_factor[..., classes] * take(self._tail_numerator, ends)
        minus = -torch.cat(frees, -1).to(self._S.dtype)
        counts = [pick.classes.numel() for pick in picks]
        return position, _Roots(picks, counts, minus, scale, unit, torch.cat(befores, -1), follow)

    def _find_readers(self) -> _Readers:
        members = self._S.shape[:-1]
        tails = {name: e.tail for name, e in self.graph.edges.items() if e.tail.any()}
        tensors = [
            _Reader(
                name,
                (*members, *tail.shape),
                (*members, tail.numel()),
                [dim for dim in range(-tail.dim(), 0) if tail.shape[dim] == 1],
            )
            for name, tail in tails.items()
        ]
        classes = torch.cat([tail.flatten() for tail in tails.values()])
        numerator = self._tail_numerator[..., classes]
        return _Readers(tensors, self._position[..., classes], numerator if (numerator != 1).any() else None)

    def begin(self, weights: dict[str, Tensor]) -> _PathFrame:
        """Read the roots and compute ``q_tail / P_tail``, with ``P_c = V_root(c) / S_c`` (eq. 5, 7).

        The path values of the roots, ``V_root = V_before w S_head / S_tail``, are computed block by block.
        """
        roots = self._roots.read(weights)
        paths = self._paths.narrow(-1, 1, sum(self._roots.counts))
        torch.mul(roots, self._roots.scale, out=paths)
        of_blocks = paths.split(self._roots.counts, -1)
        for number, before in self._roots.follow:
            of_blocks[number].mul_(take(self._paths, before))
        factors = take(self._paths.reciprocal(), self._readers.roots)
        if self._readers.numerator is not None:
            factors.mul_(self._readers.numerator)
        return _PathFrame(weights, roots, self._roots.unit / take(self._paths, self._roots.before), factors)

    def to_coords(self, weights: Weights) -> Coords:
        """Compute ``V_e = P_tail w_e S_head`` (eq. 6), in the chart's units."""
        S = self.skeleton.suffix(self.graph, weights) / self._units.head
        P = self.skeleton.prefix(self.graph, weights) / self._units.tail
        return self.unpinned({name: w * self._spread(name, S, P) for name, w in weights.items()})

    def to_weights(self, coords: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Compute ``w_e = V_e / (P_tail S_head)`` with ``P_c = V_root(c) / S_c`` (eq. 7)."""
        values = [self._S.new_ones(*self._S.shape[:-1], 1)]
        for pick in self._roots.picks:
            q = self._units.head[..., pick.classes] * take(self._units.tail, pick.ends)
            values.append(pick.read(coords[pick.name]) * q)
        tails = self._tail_numerator / take(torch.cat(values, -1), self._position)
        return self.pinned({name: c * self._spread(name, self._head_factor, tails) for name, c in coords.items()})

    def _spread(self, name: str, heads: Tensor, tails: Tensor) -> Tensor:
        """Return ``heads[head(e)] * tails[tail(e)]`` for the entries e of a tensor."""
        edges = self.graph.edges[name]
        return edges.at_heads(heads) * edges.at_tails(tails)

    def pullback_(self, frame: Frame, grads: dict[str, Tensor]) -> dict[str, Tensor]:
        """Compute ``dL/dV_e = g_e / (P S) - [e is a root] (sum of g w after it) / V_e`` (eq. 8), times q."""
        assert isinstance(frame, _PathFrame)
        sums = []
        # One tensor at a time, so that it stays in the cache for all its operations.
        for reader, factor in zip(self._readers.tensors, self._readers.spread(frame.tail_factors), strict=True):
            g = grads[reader.name]
            self._unpin_(reader.name, g)
            sums.append(reader.sum(self._product(reader.name, g, frame.weights[reader.name])))
            g.mul_(factor)
            if self._scales_heads:
                g.mul_(self._heads[reader.name])
        self._scale_heads_(self._first, grads)
        corrections = self._after_roots(sums).mul_(frame.root_factors).div_(frame.roots)
        self._roots.add_(grads, corrections.mul_(self._roots.minus_is_root))
        return grads

    def pullback_metric(self, frame: Frame, metric: dict[str, Tensor]) -> dict[str, Tensor]:
        """Compute ``m_e / (P S)^2 + [e is a root] (sum of m w^2 after it) / V_e^2``, times q^2.

        Where ``dw_a/dV_e`` is not ``[a = e] / (P S)``, e is a root and a comes after it: then it is ``-w_a / V_e``.
        """
        assert isinstance(frame, _PathFrame)
        result = {name: m.clone(memory_format=torch.contiguous_format) for name, m in metric.items()}
        sums = []
        for reader, factor in zip(self._readers.tensors, self._readers.spread(frame.tail_factors), strict=True):
            m = result[reader.name]
            self._unpin_(reader.name, m)
            sums.append(reader.sum(self._product(reader.name, m, frame.weights[reader.name].square())))
            m.mul_(factor.square())
        for _ in range(2):
            self._scale_heads_(self.graph.shapes, result)
        after = self._after_roots(sums).mul_((frame.root_factors / frame.roots).square())
        self._roots.add_(result, after.mul_(-self._roots.minus_is_root))
        return result

    def retract_(self, frame: Frame, direction: dict[str, Tensor], step: Tensor) -> None:
        """Compute ``w_e <- (w_e + step q d_e / (P S)) / R_tail``, R = new over old root value (eq. 9)."""
        assert isinstance(frame, _PathFrame)
        by_member = step.unsqueeze(-1)
        moves = self._roots.read(direction).mul_(by_member).mul_(frame.root_factors).div_(frame.roots)
        ratio = torch.cat((torch.ones_like(moves[..., :1]), moves.add_(1.0)), -1)
        shrink = self._readers.spread(take(ratio.reciprocal_(), self._readers.roots))
        steps = self._readers.spread(frame.tail_factors * by_member)
        # One tensor at a time, small factors first, so that it stays in the cache for all its operations.
        for reader, factor, after in zip(self._readers.tensors, steps, shrink, strict=True):
            w, d = frame.weights[reader.name], direction[reader.name]
            if self._scales_heads:
                d.mul_(self._heads[reader.name])
            w.addcmul_(d, factor).mul_(after)
            for pick, values in self._pins_of[reader.name]:
                pick.write_(w, values)
        self._scale_heads_(self._first, direction)
        foreach.add_scaled_([frame.weights[n] for n in self._first], [direction[n] for n in self._first], step)

    def _after_roots(self, sums: list[Tensor]) -> Tensor:
        """Sum, for every root, what :meth:`_Reader.sum` returned for the tensors after it; a row over the roots."""
        after = torch.zeros_like(self._paths)
        add_at_(after, self._readers.roots, torch.cat(sums, -1))
        return after.narrow(-1, 1, after.shape[-1] - 1)

    def _unpin_(self, name: str, tensor: Tensor) -> None:
        """Set the places of the fixed weights of one tensor to zero."""
        for pick, _ in self._pins_of[name]:
            pick.zero_(tensor)

    def _scale_heads_(self, names: Iterable[str], tensors: Weights) -> None:
        """Multiply by ``q_head / S_head`` in place, unless that is one everywhere."""
        if self._scales_heads:
            foreach.mul_by_([tensors[name] for name in names], [self._heads[name] for name in names])

    def _product(self, name: str, first: Tensor, second: Tensor) -> Tensor:
        """Multiply into a buffer that the chart keeps."""
        if name not in self._products:
            self._products[name] = torch.empty_like(first)
        return torch.mul(first, second, out=self._products[name])

    def at(self, weights: Weights) -> "GSpaceChart":
        """Return the same chart with the coordinates of ``weights`` as its origin."""
        same = to_gauge(self.graph, weights, self.skeleton, [values for _, values in self.pins])
        return GSpaceChart(self.graph, self.skeleton, self.pinned(same), self._units)
