"""ReLU networks as functions of a named weight dict, and what is connected to what.

Weights are a plain mapping from ``state_dict`` names to tensors. Every tensor may carry leading member dims;
the last dims are the weight's own: ``(*members, out, in)`` for a matrix, ``(*members, out)`` for a bias.

The rescaling symmetry lives on *channel classes*: class 0 is the anchor (inputs, outputs, the source of the
biases), classes ``1..K`` are the hidden channels that may be rescaled freely. An entry of a parameter tensor is
an edge from its tail's class to its head's class (maths.md, section 1). Spaces see a network only through this
:class:`Graph`, so a new architecture needs a description, not another chart.
"""

from collections.abc import Mapping
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
    """Return the classes as a slice if they follow each other, as those of a layer do; slices are views."""
    listed = classes.flatten().tolist()
    return slice(listed[0], listed[-1] + 1) if listed == list(range(listed[0], listed[-1] + 1)) else None


def _look_up(values: Tensor, classes: Tensor, contiguous: slice | None) -> Tensor:
    if contiguous is None:
        return values[..., classes]
    return values[..., contiguous].view(*values.shape[:-1], *classes.shape)


@dataclass(frozen=True)
class Block:
    """Hidden channels that one tensor writes and another reads: classes ``start, ..., stop - 1``.

    Attributes:
        start: first class of the block.
        stop: one past its last class.
        into: name of the matrix whose entries lead into the block.
        out: name of the matrix whose entries lead out of it.
    """

    start: int
    stop: int
    into: str
    out: str


@dataclass(frozen=True)
class Graph:
    """Channel classes of a network and the edges between them.

    Attributes:
        shapes: own shape of every parameter tensor.
        edges: class of head and tail of every entry of every parameter tensor.
        blocks: the hidden channels, from the inputs to the outputs.
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

    def members(self, weights: Weights) -> tuple[int, ...]:
        """Leading member dims that all tensors of ``weights`` share."""
        name, own = next(iter(self.shapes.items()))
        return tuple(weights[name].shape[: weights[name].dim() - len(own)])

    def to(self, device: torch.device | str) -> "Graph":
        """Return the same graph with its index tensors on ``device``."""
        moved = {name: Edges(e.head.to(device), e.tail.to(device)) for name, e in self.edges.items()}
        return Graph(self.shapes, moved, self.blocks)
