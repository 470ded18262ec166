"""How close a skeleton's roots come to zero, which is a pole of G-space (maths.md, section 4)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scaleinv.probes.base import Probe, Reading
from scaleinv.spaces._pinned import PinnedChart
from scaleinv.spaces.base import Chart
from scaleinv.symmetry.graph import Weights


@dataclass(frozen=True)
class Roots(Probe):
    """Count sign changes of the roots, and keep the smallest magnitude that one of them had.

    A root is the first free edge of a skeleton path, as a weight in the chart's own gauge.
    """

    columns: ClassVar[tuple[str, ...]] = ("root_flips", "smallest_root")

    def attach(self, chart: Chart, weights: dict[str, Tensor]) -> "RootsReading":
        """Begin at the starting weights; see :meth:`Probe.attach`."""
        if not isinstance(chart, PinnedChart):
            raise ValueError("the probe 'roots' needs a space with a skeleton")
        return RootsReading(chart, weights)


class RootsReading(Reading):
    """See :class:`Roots`."""

    def __init__(self, chart: PinnedChart, weights: Weights) -> None:
        """Remember the signs of the roots."""
        self._picks = list(zip(chart.skeleton.into, chart.skeleton.is_root(chart.graph), strict=True))
        self._is_positive = self._roots(weights) > 0
        members = self._is_positive.shape[:-1]
        self._flips = torch.zeros(members, dtype=torch.int64, device=self._is_positive.device)
        self._smallest = self._roots(weights).abs().amin(-1)

    def _roots(self, weights: Weights) -> Tensor:
        """Return all in-edges of the skeleton, ``(members, K)``; those that are fixed as infinity."""
        parts = []
        for pick, free in self._picks:
            values = pick.read(weights[pick.name])
            parts.append(torch.where(free, values, float("inf")))
        return torch.cat(parts, -1)

    def after_step(self, weights: Weights) -> None:
        """Compare with the step before; see :meth:`Reading.after_step`."""
        roots = self._roots(weights)
        is_positive = roots > 0
        self._flips += (is_positive != self._is_positive).sum(-1)
        self._is_positive.copy_(is_positive)
        torch.minimum(self._smallest, roots.abs().amin(-1), out=self._smallest)

    def read(self) -> dict[str, Tensor]:
        """Return the epoch's numbers; see :meth:`Reading.read`."""
        found = {"root_flips": self._flips.cpu().clone(), "smallest_root": self._smallest.cpu().clone()}
        self._flips.zero_()
        self._smallest.fill_(float("inf"))
        return found

    def tensors(self) -> dict[str, Tensor]:
        """Return the running numbers; see :meth:`Reading.tensors`."""
        return {"is_positive": self._is_positive, "flips": self._flips, "smallest": self._smallest}
