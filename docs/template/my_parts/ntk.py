"""The parametrisation of the neural tangent kernel: weights in units of 1 / sqrt(fan in)."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from scaleinv.spaces.base import Chart, Coords, Frame, ParameterSpace
from scaleinv.symmetry.graph import Graph, Weights


@dataclass(frozen=True)
class NTKSpace(ParameterSpace):
    """Coordinates ``c = sqrt(fan_in) w / gain`` for matrices, ``c = b`` for biases (Jacot et al. 2018).

    Attributes:
        gain: of every layer.
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        """Check the range."""
        if not 0 < self.gain < float("inf"):
            raise ValueError(f"gain must be positive and finite, got {self.gain}")

    def chart(self, graph: Graph, weights: Weights) -> "NTKChart":
        """Make the chart; nothing is overwritten."""
        return NTKChart(graph, weights, self.gain)


class NTKChart(Chart):
    """One constant factor a tensor: ``w = u c`` with ``u = gain / sqrt(fan_in)``."""

    def __init__(self, graph: Graph, weights: Weights, gain: float) -> None:
        """Fix the units."""
        super().__init__(graph, weights, graph.parameters)
        self._gain = gain
        self._units = {
            name: gain * shape[-1] ** -0.5 if len(shape) > 1 else 1.0 for name, shape in graph.shapes.items()
        }

    def to_weights(self, coords: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Compute ``w = u c``."""
        return {name: c * self._units[name] for name, c in coords.items()}

    def to_coords(self, weights: Weights) -> Coords:
        """Compute ``c = w / u``."""
        return {name: w / self._units[name] for name, w in weights.items()}

    def pullback_(self, frame: Frame, grads: dict[str, Tensor]) -> dict[str, Tensor]:
        """Compute ``dL/dc = u dL/dw``."""
        return {name: g.mul_(self._units[name]) for name, g in grads.items()}

    def retract_(self, frame: Frame, direction: dict[str, Tensor], step: Tensor) -> None:
        """Compute ``w <- w + u step d``."""
        super().retract_(frame, {name: d.mul_(self._units[name]) for name, d in direction.items()}, step)

    def at(self, weights: Weights) -> "NTKChart":
        """Return the same units at other weights."""
        return NTKChart(self.graph, weights, self._gain)
