"""Weight space: the weights are the coordinates."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from scaleinv.spaces._gradient import Gradient
from scaleinv.spaces.base import Chart, Coords, Frame, ParameterSpace
from scaleinv.symmetry.graph import Graph, Weights
from scaleinv.symmetry.group import require_finite


@dataclass(frozen=True)
class WeightSpace(ParameterSpace):
    """The ordinary parametrisation; not invariant under rescaling."""

    has_gauges: ClassVar[bool] = True

    def chart(self, graph: Graph, weights: Weights) -> Chart:
        """Return the identity chart."""
        require_finite(weights)
        return WeightChart(graph, weights)


class WeightChart(Chart):
    """The identity: ``coords = weights``, dimension m."""

    def __init__(self, graph: Graph, weights: Weights) -> None:
        """Make the chart at ``weights``."""
        super().__init__(graph, weights, graph.parameters)

    def to_weights(self, coords: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the coordinates themselves."""
        return dict(coords)

    def to_coords(self, weights: Weights) -> Coords:
        """Return the weights themselves."""
        return dict(weights)

    def pullback_(self, frame: Frame, grads: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the gradients themselves."""
        return grads

    def descend_(self, frame: Frame, gradient: Gradient, step: Tensor) -> None:
        """Add ``step`` times the gradient."""
        gradient.add_to_(frame.weights, step)

    def at(self, weights: Weights) -> "WeightChart":
        """Return the identity chart at other weights."""
        return WeightChart(self.graph, weights)
