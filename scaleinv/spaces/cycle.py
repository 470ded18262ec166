"""Cycle space: weight fixing made invariant (maths.md, 2.3 and 2.4)."""

from collections.abc import Mapping
from dataclasses import dataclass

from scaleinv.spaces._pinned import (
    BALANCED,
    FIXES,
    KEEP,
    NORMALISATIONS,
    OVERWRITE,
    check_value,
    require_invariant,
    require_one_of,
    start_skeleton,
    supports_skeleton,
)
from scaleinv.spaces.base import Chart, Coords, ParameterSpace, Support
from scaleinv.spaces.fixed import FixedWeightChart
from scaleinv.symmetry.balance import balance
from scaleinv.symmetry.graph import Graph, Weights
from scaleinv.symmetry.group import to_gauge, to_unit_gauge
from scaleinv.symmetry.members import PerMember


@dataclass(frozen=True)
class CycleSpace(ParameterSpace):
    """Invariant coordinates ``C_e = w_e |S_head(e)| / |S_tail(e)|``; linear in the free weights, no poles.

    S is the product of the skeleton's fixed weights after a node. Rescaling does not change C, so it does not change
    any optimizer's steps. (Equation 10 of maths.md has S with its sign; a constant sign of a coordinate changes no
    elementwise optimizer's trajectory, so it is left out.)

    Attributes:
        skeleton: choice of the out-edges: ``default``, ``maxprod``, ``log_hungarian``, or explicit lists.
        fix: ``keep`` the function, or ``overwrite`` the out-edges with ``value`` before the chart is made.
        value: number that ``overwrite`` sets, or one per member; finite and not 0.
        normalise: ``none``, or ``balanced``: divide by ``|S_head / S_tail|`` at the balanced representative of the
            starting network, so that the coordinates start as its weights and learning rates keep their meaning.
    """

    skeleton: str | Mapping = "default"
    fix: str = KEEP
    value: PerMember = 1.0
    normalise: str = "balanced"

    def __post_init__(self) -> None:
        """Check the options."""
        require_one_of("fix", self.fix, FIXES)
        check_value(self.value)
        require_one_of("normalise", self.normalise, NORMALISATIONS)
        require_invariant(self.skeleton)

    @property
    def ignored(self) -> Mapping[str, str]:
        """Only ``overwrite`` reads the value."""
        return {} if self.fix == OVERWRITE else {"value": f"fix={OVERWRITE}"}

    def supports(self, graph: Graph) -> Support:
        """Refuse networks without hidden nodes, and skeletons that do not fit."""
        return supports_skeleton(graph, self.skeleton)

    def chart(self, graph: Graph, weights: Weights) -> Chart:
        """Rescale the weights to the gauge in which they are the coordinates."""
        self.supports(graph).raise_if_unsupported()
        started, skeleton = start_skeleton(graph, weights, self.skeleton, self.fix, self.value, roots=True)
        if self.normalise == BALANCED:
            return CycleChart(graph, skeleton, balance(graph, started))
        return CycleChart(graph, skeleton, to_unit_gauge(graph, started, skeleton))


class CycleChart(FixedWeightChart):
    """A fixed-weight chart in a gauge that depends only on the orbit.

    In that gauge the coordinates *are* the free weights, so a step costs no more than in weight space.
    """

    def to_coords(self, weights: Weights) -> Coords:
        """Rescale to the chart's gauge, then leave the fixed weights out."""
        return super().to_coords(self._gauged(weights))

    def at(self, weights: Weights) -> "CycleChart":
        """Return the same chart with the coordinates of ``weights`` as its origin."""
        return CycleChart(self.graph, self.skeleton, self.pinned(self._gauged(weights)))

    def _gauged(self, weights: Weights) -> Weights:
        return to_gauge(self.graph, weights, self.skeleton, [values for _, values in self.pins])
