"""The kernel of a distance from checkpoints, in the balanced gauge."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaleinv.minima.rulers import InBalancedGauge
from scaleinv.penalties._repulsion import Kernel

if TYPE_CHECKING:
    from scaleinv.probes.base import Scene


@dataclass(frozen=True, kw_only=True)
class RepulsionBalanced(Kernel):
    """The kernel with that of the balanced weights; no rescaling changes it, so none can serve the push."""

    def ruler(self, scene: "Scene") -> InBalancedGauge:
        """Measure there; see :meth:`Kernel.ruler`."""
        return InBalancedGauge(scene.network.graph)
