"""Which channels must be rescaled alike: labels, what joins them, what anchors them, and the edges between them.

Every element of an activation carries a whole number, its label. Label 0 is an exact zero, which may be rescaled by
anything; label 1 is the anchor, whatever may not be rescaled; every other label is one channel that an operation
wrote. Labels are joined where values meet; the classes of a graph are what comes out (maths.md, section 1).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from scaleinv.symmetry.graph import Block, Edges, Graph
from scaleinv.symmetry.program import Operation

ZERO, ANCHOR = 0, 1


@dataclass(frozen=True)
class Anchor:
    """Why some channels may not be rescaled.

    Attributes:
        operation: short name of the operation, e.g. ``tanh``; ``output`` for what the model returns.
        module: dotted path of the module that calls it, ``""`` for the model itself.
        why: what it does to rescaled channels.
        classes: number of classes that it anchors.
        first: number of classes that it is the first to anchor, in the order of computation; they add up to all that
            are anchored.
        tensors: parameters that write these channels.
    """

    operation: str
    module: str
    why: str
    classes: int
    first: int
    tensors: tuple[str, ...]


@dataclass(frozen=True)
class Activation:
    """Labels of an activation of one image.

    Attributes:
        labels: label of every element; dims along which the labels do not change have stride 0 wherever possible.
        dtype: dtype of the activation itself.
    """

    labels: Tensor
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True)
class Entries:
    """Entries of parameter tensors, in any arrangement.

    Attributes:
        shape: shape of the tensor that they make up.
        name: the parameter, if these are all its entries in their order, in any shape.
        numbers: number of every entry among all entries of the model, from 1, in any order and number; 0 is an
            exact zero. None where ``name`` says it all, since large tensors are many.
    """

    shape: torch.Size
    name: str | None
    numbers: Tensor | None = None


@dataclass(frozen=True)
class _Reason:
    operation: str
    module: str
    why: str


class Classes:
    """The labels of a model and what is known about them, from which the graph is made."""

    def __init__(self, shapes: Mapping[str, torch.Size]) -> None:
        """Begin with parameters of these shapes, by name, and no channel."""
        self._shapes = shapes
        self._starts: dict[str, int] = {}
        start = 1
        for name, shape in shapes.items():
            self._starts[name] = start
            start += shape.numel()
        self._count = 2
        self._written: list[Tensor] = []
        self._pairs: list[Tensor] = []
        self._anchored: list[tuple[_Reason, Tensor]] = []
        self._edges: dict[str, Edges] = {}
        self._solved: tuple[tuple[int, int, int], Tensor, Tensor] | None = None

    def fresh(self, number: int) -> Tensor:
        """Return new labels, of channels that an operation writes."""
        labels = torch.arange(self._count, self._count + number)
        self._count += number
        self._written.append(labels)
        return labels

    def numbers(self, entries: Entries) -> Tensor:
        """Return the numbers of entries, written out."""
        if entries.numbers is not None:
            return entries.numbers
        assert entries.name is not None
        start = self._starts[entries.name]
        return torch.arange(start, start + entries.shape.numel()).view(entries.shape)

    def join(self, first: Tensor, second: Tensor, at: Operation, why: str) -> Tensor:
        """Join two tensors of labels element by element, broadcast; exact zeros join nothing.

        Args:
            first: labels.
            second: labels.
            at: operation that makes the values meet.
            why: what to say where one of the two is the anchor.

        Returns:
            Labels of the values that met.
        """
        shape = torch.broadcast_shapes(first.shape, second.shape)
        first, second = compact(first, second)
        meet = (first != second) & (first != ZERO) & (second != ZERO)
        if meet.any():
            pairs = torch.stack([first[meet], second[meet]])
            anchored = (pairs == ANCHOR).any(0)
            self.anchor(pairs.amax(0)[anchored], at, why)
            if not anchored.all():
                self._pairs.append(pairs[:, ~anchored].unique(dim=1) if pairs.shape[1] > 1 else pairs)
        return torch.where(first == ZERO, second, first).expand(shape)

    def uniform(self, labels: Tensor, dims: Sequence[int], at: Operation, why: str) -> Tensor:
        """Join labels along some dims, which become 1 long."""
        for dim in dims:
            if labels.stride(dim) == 0:
                labels = labels.narrow(dim, 0, 1)
        dims = [dim for dim in dims if labels.shape[dim] > 1]
        if not dims or not labels.numel():
            return labels
        one = labels.amax(dims, keepdim=True)  # exact zeros are the least
        self.join(labels, one, at, why)
        return one

    def anchor(self, labels: Tensor, at: Operation | None, why: str) -> None:
        """Anchor channels, for a reason."""
        (labels,) = compact(labels)
        labels = labels[labels > ANCHOR].unique()
        if labels.numel():
            reason = _Reason(at.short.rstrip("_"), at.module, why) if at else _Reason("output", "", why)
            self._anchored.append((reason, labels))

    def connect(self, entries: Entries, head: Tensor, tail: Tensor, at: Operation) -> None:
        """Let entries lead from channels to channels; where they already lead, both ends are joined.

        Args:
            entries: entries of parameters.
            head: labels; broadcasts against the entries.
            tail: labels; broadcasts against the entries.
            at: operation that uses the entries.
        """
        if entries.name is not None:
            own = self._shapes[entries.name]
            if entries.shape != own:
                head, tail = (end.expand(entries.shape).reshape(own) for end in (head, tail))
            self._connect(entries.name, head, tail, at)
            return
        numbers = self.numbers(entries)
        flat = [t.expand(entries.shape).flatten() for t in (numbers, head, tail)]
        used = flat[0] > 0
        (numbers, head, tail), order = [t[used] for t in flat], flat[0][used].argsort(stable=True)
        numbers, head, tail = numbers[order], head[order], tail[order]
        numbers, counts = numbers.unique_consecutive(return_counts=True)
        first = (counts.cumsum(0) - counts).repeat_interleave(counts)
        why = f"uses {_TWICE}"
        self.join(head, head[first], at, why)
        self.join(tail, tail[first], at, why)
        head, tail = head[first.unique()], tail[first.unique()]
        starts = torch.tensor(list(self._starts.values()))
        owners = torch.searchsorted(starts, numbers, right=True) - 1
        for owner in owners.unique().tolist():
            name, inside = list(self._starts)[owner], owners == owner
            ends = []
            for labels in (head, tail):
                whole = torch.zeros(self._shapes[name].numel(), dtype=torch.long)
                whole[numbers[inside] - starts[owner]] = labels[inside]
                ends.append(whole.view(self._shapes[name]))
            self._connect(name, ends[0], ends[1], at)

    def _connect(self, name: str, head: Tensor, tail: Tensor, at: Operation) -> None:
        if before := self._edges.get(name):
            why = f"uses {_TWICE}"
            head, tail = self.join(before.head, head, at, why), self.join(before.tail, tail, at, why)
        self._edges[name] = Edges(*compact(head), *compact(tail))

    def are_anchored(self, labels: Tensor) -> Tensor:
        """Return for every label whether it is anchored so far, itself or by what it is joined with."""
        components, anchored = self._solve()
        return (labels == ANCHOR) | anchored[components[labels]]

    def _solve(self) -> tuple[Tensor, Tensor]:
        """Return the component of every label, and for every component whether it is anchored."""
        state = (self._count, len(self._pairs), len(self._anchored))
        if self._solved is None or self._solved[0] != state:
            from scipy.sparse import coo_array
            from scipy.sparse.csgraph import connected_components

            # Of arrays with wider indices, SciPy before 1.12 finds no components, and does not say so.
            pairs = torch.cat([torch.empty(2, 0, dtype=torch.long), *self._pairs], 1).int().numpy()
            ones = torch.ones(pairs.shape[1], dtype=torch.bool).numpy()
            number, found = connected_components(coo_array((ones, pairs), shape=(self._count,) * 2), directed=False)
            components = torch.from_numpy(found).long()
            anchored = torch.zeros(number, dtype=torch.bool)
            anchored[components[ANCHOR]] = True
            for _, labels in self._anchored:
                anchored[components[labels]] = True
            self._solved = state, components, anchored
        return self._solved[1:]

    def settle(self) -> "Settled":
        """Number the classes; nothing may be joined after that."""
        components, anchored = self._solve()
        return Settled(self._shapes, self._edges, self._written, self._anchored, components, anchored)


_TWICE = "weights that other channels use too"


@dataclass(frozen=True)
class Settled:
    """What is known of the labels in the end."""

    shapes: Mapping[str, torch.Size]
    edges: dict[str, Edges]
    written: list[Tensor]
    reasons: list[tuple[_Reason, Tensor]]
    components: Tensor
    anchored: Tensor

    @cached_property
    def graph(self) -> Graph:
        """The graph: a block is a set of channels written together, with equal numbers of entries in every tensor."""
        marks = self._marks()
        classes = torch.zeros_like(self.components)  # by component
        blocks: list[Block] = []
        next_class = 1
        for labels in self.written:
            of_block = _in_order(self.components[labels])
            of_block = of_block[~self.anchored[of_block] & (classes[of_block] == 0)]
            for mark in _in_order(marks[of_block]):
                alike = of_block[marks[of_block] == mark]
                classes[alike] = torch.arange(next_class, next_class + len(alike))
                blocks.append(Block(next_class, next_class + len(alike)))
                next_class += len(alike)
        of_label = classes[self.components]
        of_label[: ANCHOR + 1] = 0
        edges = {}
        for name, shape in self.shapes.items():
            nothing = torch.zeros([1] * len(shape), dtype=torch.long)
            ends = self.edges.get(name, Edges(nothing, nothing))
            edges[name] = Edges(of_label[ends.head], of_label[ends.tail])
        return Graph({name: tuple(shape) for name, shape in self.shapes.items()}, edges, tuple(blocks))

    @cached_property
    def anchors(self) -> tuple[Anchor, ...]:
        """What anchors classes and why, in the order of computation."""
        by_reason: dict[_Reason, list[Tensor]] = {}
        for reason, labels in self.reasons:
            by_reason.setdefault(reason, []).append(self.components[labels])
        names, heads = list(self.edges), [self.components[e.head.flatten().unique()] for e in self.edges.values()]
        written = torch.cat([torch.empty(0, dtype=torch.long), *heads])
        writers = torch.arange(len(names)).repeat_interleave(torch.tensor([len(h) for h in heads], dtype=torch.long))
        anchors = []
        is_new = torch.ones(len(self.anchored), dtype=torch.bool)
        for reason, parts in by_reason.items():
            these = torch.cat(parts).unique()
            is_one = torch.zeros(len(self.anchored), dtype=torch.bool)
            is_one[these] = True
            first = int(is_new[these].sum())
            is_new[these] = False
            tensors = tuple(names[i] for i in writers[is_one[written]].unique().tolist())
            anchors.append(Anchor(reason.operation, reason.module, reason.why, len(these), first, tensors))
        return tuple(anchors)

    def _marks(self) -> Tensor:
        """Return a number for every component that differs where the numbers of entries in some tensor differ."""
        marks = torch.zeros(len(self.anchored), dtype=torch.long)
        generator = torch.Generator().manual_seed(0)
        for name, ends in self.edges.items():
            for end in (ends.head, ends.tail):
                (small,) = compact(end.expand(self.shapes[name]))
                each = self.shapes[name].numel() // max(small.numel(), 1)
                weight = torch.randint(1 << 40, (1,), generator=generator) * each  # sums wrap around
                marks.index_add_(0, self.components[small.flatten()], weight.expand(small.numel()))
        return marks


def compact(*labels: Tensor) -> tuple[Tensor, ...]:
    """Broadcast tensors to each other, then cut the dims along which none of them changes to length 1."""
    broadcast = torch.broadcast_tensors(*labels)
    for dim in range(broadcast[0].dim()):
        if broadcast[0].shape[dim] > 1 and all(t.stride(dim) == 0 for t in broadcast):
            broadcast = tuple(t.narrow(dim, 0, 1) for t in broadcast)
    return tuple(broadcast)


def _in_order(values: Tensor) -> Tensor:
    """Return the different values in the order in which they first occur."""
    different, inverse = values.unique(return_inverse=True)
    first = torch.full((len(different),), len(values)).scatter_reduce(0, inverse, torch.arange(len(values)), "amin")
    return different[first.argsort()]
