"""L2 regularisation of the coordinates."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaleinv.penalties._squares import HalfSquares
from scaleinv.penalties.base import Penalty

if TYPE_CHECKING:
    from scaleinv.probes.base import Scene


@dataclass(frozen=True, kw_only=True)
class L2Coords(Penalty):
    """``strength / 2 sum c^2`` over all coordinates; in an invariant space it is invariant under rescaling.

    Its gradient is added after the pullback, as that of ``weight_decay`` is in SGD, Adam and RMSprop. In weight space
    it is :class:`scaleinv.penalties.L2Weights`. It depends on the skeleton, and in G-space it pulls the roots towards
    zero, which is a pole (maths.md, section 4).
    """

    def attach(self, scene: "Scene") -> HalfSquares:
        """Penalise coordinates, if the space can compute them; see :meth:`Penalty.attach`."""
        try:
            scene.chart.to_coords(scene.weights)
        except NotImplementedError as error:
            raise ValueError("the penalty 'l2_coords' needs a space that can compute its coordinates") from error
        return HalfSquares(self.strengths(scene), in_coordinates=True)
