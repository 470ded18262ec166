"""Fixed-weight space: one outgoing weight of every hidden node is kept fixed (thesis, chapter 3)."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from scaleinv.spaces._gradient import Gradient
from scaleinv.spaces._pinned import (
    FIXES,
    OVERWRITE,
    PinnedChart,
    check_value,
    require_one_of,
    start_skeleton,
    supports_skeleton,
)
from scaleinv.spaces.base import Chart, Coords, Frame, ParameterSpace, Support
from scaleinv.symmetry.graph import Graph, Weights
from scaleinv.symmetry.members import PerMember


@dataclass(frozen=True)
class FixedWeightSpace(ParameterSpace):
    """The weights without one out-edge of every hidden node; dimension m - K.

    Fixing removes the symmetry from the space, but the gradients still depend on the values at which the weights
    are fixed. Only ``fix="rescale"``, with any skeleton but ``hungarian``, makes training independent of rescaling
    the start; nothing makes it independent of rescaling during training.

    Attributes:
        skeleton: choice of the out-edges: ``default``, ``maxprod``, ``log_hungarian``, explicit lists, or the
            source's ``hungarian``, which chooses other out-edges for a rescaled network.
        fix: ``overwrite`` them with ``value``, ``keep`` them, or ``rescale`` them to +-1.
        value: number that ``overwrite`` sets, or one per member; finite and not 0.
    """

    skeleton: str | Mapping = "default"
    fix: str = "overwrite"
    value: PerMember = 1.0

    def __post_init__(self) -> None:
        """Check the options."""
        require_one_of("fix", self.fix, FIXES)
        check_value(self.value)

    @property
    def ignored(self) -> Mapping[str, str]:
        """Only ``overwrite`` reads the value."""
        return {} if self.fix == OVERWRITE else {"value": f"fix={OVERWRITE}"}

    def supports(self, graph: Graph) -> Support:
        """Refuse networks without hidden nodes, and skeletons that do not fit."""
        return supports_skeleton(graph, self.skeleton)

    def chart(self, graph: Graph, weights: Weights) -> Chart:
        """Fix the skeleton's out-edges as ``fix`` says."""
        self.supports(graph).raise_if_unsupported()
        started, skeleton = start_skeleton(graph, weights, self.skeleton, self.fix, self.value, roots=False)
        return FixedWeightChart(graph, skeleton, started)


class FixedWeightChart(PinnedChart):
    """The free weights as coordinates: ``w_e = c_e`` off the skeleton, ``w_T`` constant."""

    def to_weights(self, coords: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Put the fixed weights into their places."""
        return self.pinned(coords)

    def to_coords(self, weights: Weights) -> Coords:
        """Leave the fixed weights out."""
        return self.unpinned(weights)

    def pullback_(self, frame: Frame, grads: dict[str, Tensor]) -> dict[str, Tensor]:
        """Drop the gradients of the fixed weights."""
        self.unpin_(grads)
        return grads

    def descend_(self, frame: Frame, gradient: Gradient, step: Tensor) -> None:
        """Add ``step`` times the gradient, then put the fixed weights back."""
        gradient.add_to_(frame.weights, step)
        self.pin_(frame.weights)

    def at(self, weights: Weights) -> "FixedWeightChart":
        """Fix the same entries at the values that they have in ``weights``."""
        return FixedWeightChart(self.graph, self.skeleton, weights)
