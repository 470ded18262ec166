"""What is known of a model's rescaling symmetry, for people and for programs."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from scaleinv.symmetry.classes import Anchor, compact
from scaleinv.symmetry.graph import Graph
from scaleinv.symmetry.trace import describe


@dataclass(frozen=True)
class Classes:
    """Channels that are written and read together; each may be rescaled on its own.

    Attributes:
        start: first class.
        stop: one past the last class.
        written: parameters that lead into these channels.
        read: parameters that lead out of them.
    """

    start: int
    stop: int
    written: tuple[str, ...]
    read: tuple[str, ...]


@dataclass(frozen=True)
class Writer:
    """A parameter and the channels that it writes.

    Attributes:
        name: name of the parameter.
        channels: number of channels.
        free: number of them that may be rescaled.
    """

    name: str
    channels: int
    free: int


@dataclass(frozen=True)
class SymmetryReport:
    """The rescaling symmetry of a model: its classes, and what keeps other channels from being rescaled.

    Attributes:
        model: name of the model's type.
        parameters: number m of scalar parameters.
        invariances: number K of classes that may be rescaled freely.
        classes: the classes, channels that are written together in one entry.
        anchors: what anchors other channels, and why; empty for a chain, where only inputs and outputs are anchored.
        writers: parameters with the channels that they write, in the model's order.
    """

    model: str
    parameters: int
    invariances: int
    classes: tuple[Classes, ...]
    anchors: tuple[Anchor, ...]
    writers: tuple[Writer, ...]

    @property
    def dimension(self) -> int:
        """Number m - K of parameters that the function depends on, as far as rescalings go."""
        return self.parameters - self.invariances

    @cached_property
    def record(self) -> dict[str, Any]:
        """All numbers as a mapping that JSON can hold."""
        return asdict(self) | {"dimension": self.dimension}

    def __str__(self) -> str:
        """Return the tables for a terminal."""
        lines = [
            f"{self.model}: m = {self.parameters:,} parameters, K = {self.invariances:,} rescalings,"
            f" m - K = {self.dimension:,}",
            *_table(("classes", "channels", "written by", "read by"), self._class_rows()),
            *_table(("anchored", "by", "in", "because it"), self._anchor_rows()),
        ]
        return "\n".join(lines)

    def _class_rows(self) -> Iterator[tuple[str, ...]]:
        for one in self.classes:
            last = "" if one.stop == one.start + 1 else f" to {one.stop - 1}"
            yield f"{one.start}{last}", f"{one.stop - one.start}", _listed(one.written), _listed(one.read)

    def _anchor_rows(self) -> Iterator[tuple[str, ...]]:
        by_reason: dict[tuple[str, str], list[Anchor]] = {}
        for anchor in self.anchors:
            by_reason.setdefault((anchor.operation, anchor.why), []).append(anchor)
        for (operation, why), anchors in by_reason.items():
            places = _listed(tuple(anchor.module or "(the model)" for anchor in anchors))
            yield f"{sum(anchor.first for anchor in anchors):,}", operation, places, why


def symmetry_report(model: nn.Module, example: Tensor | None = None) -> SymmetryReport:
    """Report which channels of a model may be rescaled, and what keeps others from it.

    Args:
        model: any model that :func:`scaleinv.symmetry.trace.describe` covers; it is not changed.
        example: inputs ``(batch, *shape)``, of which the values do not matter; not needed for chains of Linear layers.

    Raises:
        UnsupportedNetworkError: the model cannot be described; the message names the part and a remedy.
    """
    network = describe(model, example)
    graph = network.graph
    written, read = _names(graph, "head"), _names(graph, "tail")
    classes = [Classes(b.start, b.stop, written[i], read[i]) for i, b in enumerate(graph.blocks)]
    writers = []
    for name, shape in graph.shapes.items():
        (head,) = compact(graph.edges[name].head)
        each = 1 if head.numel() > 1 or not shape else shape[0]  # one anchor may stand for all channels
        writers.append(Writer(name, head.numel() * each, int((head > 0).sum()) * each))
    return SymmetryReport(
        *(type(model).__name__, graph.parameters, graph.hidden, tuple(classes), network.anchors, tuple(writers))
    )


def _names(graph: Graph, end: str) -> list[tuple[str, ...]]:
    """List for every block the parameters that have it at one end."""
    stops = torch.tensor([block.stop for block in graph.blocks])
    names: list[list[str]] = [[] for _ in graph.blocks]
    for name, edges in graph.edges.items():
        (classes,) = compact(getattr(edges, end))
        for i in torch.searchsorted(stops, classes[classes > 0].unique(), right=True).unique().tolist():
            names[i].append(name)
    return [tuple(listed) for listed in names]


def _listed(names: tuple[str, ...], shown: int = 2) -> str:
    """Join the first names; say how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return (", ".join(names[:shown]) or "nothing") + more


def _table(heads: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> list[str]:
    """Align rows under their heads; nothing without rows."""
    listed = [heads, *rows]
    if len(listed) == 1:
        return []
    widths = [max(len(row[i]) for row in listed) for i in range(len(heads))]
    return [""] + ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in listed]
