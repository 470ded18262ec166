"""L2 regularisation of the weights."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaleinv.penalties._squares import HalfSquares
from scaleinv.penalties.base import Penalty

if TYPE_CHECKING:
    from scaleinv.probes.base import Scene


@dataclass(frozen=True, kw_only=True)
class L2Weights(Penalty):
    """``strength / 2 sum w^2`` over all weights, biases and fixed weights included, in the chart's own gauge.

    Its gradient is added to that of the loss before the pullback. Rescaling a network changes it; its minimum over all
    rescalings is at the balanced network.
    """

    def attach(self, scene: "Scene") -> HalfSquares:
        """Penalise weights, which every space has; see :meth:`Penalty.attach`."""
        return HalfSquares(self.strengths(scene), in_coordinates=False)
