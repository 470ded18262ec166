"""The graph of a ReLU network: which weights connect which channels.

Weights are a plain mapping from ``state_dict`` names to tensors. Every tensor may carry leading member dims;
the last dims are the weight's own: ``(*members, out, in)`` for a matrix, ``(*members, out)`` for a bias.

The rescaling symmetry lives on *channel classes*: class 0 is the anchor (inputs, outputs, the source of the
biases), classes ``1..K`` are the hidden channels that may be rescaled freely. An entry of a parameter tensor is
an edge from its tail's class to its head's class (maths.md, section 1). Spaces see a network only through this
:class:`Graph`, so a new architecture needs a description, not another chart.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Edges:
    """Classes at both ends of every entry of one parameter tensor.

    Attributes:
        head: class the entry leads to; broadcasts against the tensor's own dims.
        tail: class the entry leads from; broadcasts against the tensor's own dims.
    """

    head: Tensor
    tail: Tensor

    def at_heads(self, values: Tensor) -> Tensor:
        """Return ``values[..., head]`` for ``values`` of shape ``(*members, K + 1)``; it may be a view."""
        return _look_up(values, self.head, self._head_range)

    def at_tails(self, values: Tensor) -> Tensor:
        """Return ``values[..., tail]`` for ``values`` of shape ``(*members, K + 1)``; it may be a view."""
        return _look_up(values, self.tail, self._tail_range)

    @cached_property
    def _head_range(self) -> slice | None:
        return _as_range(self.head)

    @cached_property
    def _tail_range(self) -> slice | None:
        return _as_range(self.tail)


def _as_range(classes: Tensor) -> slice | None:
    """Return the classes as a slice if they are consecutive, as in a layer: indexing with a slice is a view."""
    listed = classes.flatten().tolist()
    return slice(listed[0], listed[-1] + 1) if listed == list(range(listed[0], listed[-1] + 1)) else None


def _look_up(values: Tensor, classes: Tensor, contiguous: slice | None) -> Tensor:
    if contiguous is None:
        return values[..., classes]
    return values[..., contiguous].view((*values.shape[:-1], *classes.shape))


@dataclass(frozen=True)
class Block:
    """Hidden channels that are written and read together: classes ``start, ..., stop - 1``.

    Attributes:
        start: first class of the block.
        stop: one past its last class.
    """

    start: int
    stop: int


@dataclass(frozen=True)
class Incidence:
    """The entries of one parameter tensor that lead into, or out of, each of a block's n channels.

    Attributes:
        block: block of the n channels.
        name: name of the tensor.
        table: flat positions of each channel's k entries in the tensor's own dims, ascending, ``(n, k)``.
        ends: class at the far end of each entry, ``(n, k)``.
    """

    block: Block
    name: str
    table: Tensor
    ends: Tensor


@dataclass(frozen=True)
class Graph:
    """Channel classes of a network and the edges between them.

    Attributes:
        shapes: own shape of every parameter tensor, by name.
        edges: classes at both ends of every entry of every parameter tensor, by name.
        blocks: blocks of hidden channels, with each class 1..K in exactly one; an explicit skeleton has its lists in
            this order.
    """

    shapes: dict[str, tuple[int, ...]]
    edges: dict[str, Edges]
    blocks: tuple[Block, ...]

    @cached_property
    def hidden(self) -> int:
        """Number K of free channel classes, which is the number of rescaling invariances."""
        return sum(block.stop - block.start for block in self.blocks)

    @cached_property
    def parameters(self) -> int:
        """Number m of scalar parameters, biases included."""
        return sum(torch.Size(shape).numel() for shape in self.shapes.values())

    @cached_property
    def from_inputs(self) -> tuple[Incidence, ...]:
        """One tensor into every block, in an order in which all its tails are in earlier blocks or the anchor.

        Where several tensors write a block, the first one that fits this order is taken: for a residual stream the
        stem, because all others read the stream.

        Raises:
            ValueError: there is no such order.
        """
        return self._ordered(self.blocks, "head", "tail")

    @cached_property
    def towards_outputs(self) -> tuple[Incidence, ...]:
        """One tensor out of every block, in an order in which all its heads are in earlier blocks or the anchor.

        It is not the reverse of :attr:`from_inputs`: a residual stream is the first in both.

        Raises:
            ValueError: there is no such order.
        """
        return self._ordered(reversed(self.blocks), "tail", "head")

    def incident(self, name: str, side: str, block: Block) -> Incidence | None:
        """Find the entries of one tensor that lead into, or out of, each class of a block.

        Args:
            name: name of the tensor.
            side: ``head`` for the entries that lead into the block, ``tail`` for those that lead out of it.
            block: block of the channels.

        Returns:
            The entries, or None unless all classes have the same number of them, and at least one.
        """
        edges, shape = self.edges[name], self.shapes[name]
        near, far = (edges.head, edges.tail) if side == "head" else (edges.tail, edges.head)
        if not ((near >= block.start) & (near < block.stop)).any():
            return None
        near = near.view(*[1] * (len(shape) - near.dim()), *near.shape)
        positions = torch.arange(self._size(name), device=near.device).view(shape)
        ends = far.expand(shape)
        axes = [axis for axis, size in enumerate(near.shape) if size > 1]
        if len(axes) == 1:  # every class has slices of the tensor, which spares a search among all entries
            positions, ends = (t.movedim(axes[0], 0).reshape(near.numel(), -1) for t in (positions, ends))
            near = near.flatten()
        else:
            positions, ends = (t.reshape(-1, 1) for t in (positions, ends))
            near = near.expand(shape).flatten()
        inside = ((near >= block.start) & (near < block.stop)).nonzero()[:, 0]
        classes = near[inside]
        counts = classes.bincount(minlength=block.stop)[block.start :]
        if (counts != counts[0]).any():
            return None
        rows = inside[classes.argsort(stable=True)]
        table, ends = (t[rows].view(len(counts), -1) for t in (positions, ends))
        if counts[0] > 1 and len(axes) == 1:
            table, order = table.sort(1)
            ends = ends.gather(1, order)
        return Incidence(block, name, table, ends)

    def _size(self, name: str) -> int:
        return torch.Size(self.shapes[name]).numel()

    def _ordered(self, blocks: Iterable[Block], near: str, far: str) -> tuple[Incidence, ...]:
        """Order the blocks so that each has a tensor with all its far ends in earlier blocks or the anchor."""
        waiting, ordered, reached = list(blocks), list[Incidence](), {0}
        far_ends = {name: set(getattr(edges, far).unique().tolist()) for name, edges in self.edges.items()}
        # Biases last: they fit at every place of the order, but they are often zero.
        names = sorted(self.shapes, key=lambda name: len(self.shapes[name]) == 1)
        meets = {name: self._blocks_at(name, near) for name in names}
        while waiting:
            fits = [name for name in names if far_ends[name] <= reached]
            # Else a tensor of which the block's entries alone lead to where the order has been.
            tensors = [(name, True) for name in fits] + [(name, False) for name in names if name not in fits]
            nearest = (
                at
                for name, whole in tensors
                for block in waiting
                if block in meets[name]
                and (at := self.incident(name, near, block))
                and (whole or set(at.ends.unique().tolist()) <= reached)
            )
            if (at := next(nearest, None)) is None:
                start, stop = waiting[0].start, waiting[0].stop
                way = "from the inputs to" if near == "head" else "to the outputs from"
                raise ValueError(f"no tensor leads {way} the channels of classes {start} to {stop - 1}")
            waiting.remove(at.block)
            ordered.append(at)
            reached |= set(range(at.block.start, at.block.stop))
        return tuple(ordered)

    def _blocks_at(self, name: str, side: str) -> set[Block]:
        """Return the blocks that a tensor has at one end."""
        classes = getattr(self.edges[name], side).unique()
        stops = torch.tensor([block.stop for block in self.blocks], device=classes.device)
        places = torch.searchsorted(stops, classes[classes > 0], right=True).unique().tolist()
        return {self.blocks[place] for place in places}

    def members(self, weights: Weights) -> tuple[int, ...]:
        """Return the leading member dims, which all tensors of ``weights`` share."""
        name, own = next(iter(self.shapes.items()))
        return tuple(weights[name].shape[: weights[name].dim() - len(own)])

    def to(self, device: torch.device | str) -> "Graph":
        """Return the same graph with its index tensors on ``device``."""
        moved = {name: Edges(e.head.to(device), e.tail.to(device)) for name, e in self.edges.items()}
        return Graph(self.shapes, moved, self.blocks)
