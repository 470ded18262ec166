"""The balanced gauge, taken again and again."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from scaleinv.gauging.base import Repeated
from scaleinv.symmetry.balance import balancing_scales
from scaleinv.symmetry.graph import Graph, Weights

# Newton steps that are enough for networks that can be trained.
_STEPS = 50


@dataclass(frozen=True, kw_only=True)
class BalanceGauge(Repeated):
    """Rescale to the least sum of squares of the orbit, where every hidden node has as much in as out (maths.md, 2.4).

    The result depends on the orbit alone: plain gradient descent that is balanced before every step does the same from
    all rescalings of a network. Nodes that no path of non-zero weights leads through keep their scale, and so does a
    member that has diverged so far that float64 does not hold the ratios of its squared weights.

    Attributes:
        every: as in :class:`Repeated`. It takes longer than a step of plain descent (the task ``defects`` measures how
            much longer), and imbalance grows slowly: along gradients it does not grow at all (maths.md, section 1).
    """

    every: int = 100

    def wanted(self, graph: Graph, weights: Weights, gradient: Callable[[], Weights]) -> Tensor:
        """Return the scales that balance; see :meth:`Gauge.scales`."""
        return balancing_scales(graph, weights, steps=_STEPS, dead="keep", unreached="nan")
