"""How close a skeleton's roots come to zero, which is a pole of G-space (maths.md, section 4)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from scaleinv.probes.base import Probe, Reading, Scene
from scaleinv.spaces._pinned import PinnedChart
from scaleinv.symmetry.graph import Weights


@dataclass(frozen=True, kw_only=True)
class Roots(Probe):
    """Count sign changes of the roots, and keep the smallest magnitude that one of them had.

    A root is the first free edge of a skeleton path, as a weight in the chart's own gauge.
    """

    every: int = 1

    def columns(self, scene: Scene) -> tuple[str, ...]:
        """Return the same two names for every scene; see :meth:`Probe.columns`."""
        return ("root_flips", "smallest_root")

    def attach(self, scene: Scene) -> "RootsReading":
        """Begin at the starting weights; see :meth:`Probe.attach`."""
        if not isinstance(scene.chart, PinnedChart):
            raise ValueError("the probe 'roots' needs a space with a skeleton")
        return RootsReading(scene.chart, scene.weights)


class RootsReading(Reading):
    """See :class:`Roots`."""

    def __init__(self, chart: PinnedChart, weights: Weights) -> None:
        """Remember the signs of the roots."""
        self._weights = weights
        self._picks = list(zip(chart.skeleton.into, chart.skeleton.is_root(chart.graph), strict=True))
        roots = self._roots()
        self._is_positive = roots > 0
        self._flips = torch.zeros(roots.shape[:-1], dtype=torch.int64, device=roots.device)
        self._smallest = roots.abs().amin(-1)

    def _roots(self) -> Tensor:
        """Return all in-edges of the skeleton, ``(members, K)``; those that are fixed as infinity."""
        parts = []
        for pick, free in self._picks:
            values = pick.read(self._weights[pick.name])
            parts.append(torch.where(free, values, float("inf")))
        return torch.cat(parts, -1)

    def look(self) -> None:
        """Compare with the last look; see :meth:`Reading.look`."""
        roots = self._roots()
        is_positive = roots > 0
        self._flips += (is_positive != self._is_positive).sum(-1)
        self._is_positive.copy_(is_positive)
        torch.minimum(self._smallest, roots.abs().amin(-1), out=self._smallest)

    def read(self) -> dict[str, Tensor]:
        """Return the epoch's numbers; see :meth:`Reading.read`."""
        numbers = {"root_flips": self._flips.cpu().clone(), "smallest_root": self._smallest.cpu().clone()}
        self._flips.zero_()
        self._smallest.fill_(float("inf"))
        return numbers

    def tensors(self) -> dict[str, Tensor]:
        """Return the running numbers; see :meth:`Reading.tensors`."""
        return {"is_positive": self._is_positive, "flips": self._flips, "smallest": self._smallest}
