"""The kernel of a distance from checkpoints, in the balanced gauge."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaleinv.minima.rulers import InBalancedGauge
from scaleinv.penalties._repulsion import Kernel

if TYPE_CHECKING:
    from scaleinv.probes.base import Scene


@dataclass(frozen=True, kw_only=True)
class RepulsionBalanced(Kernel):
    """The kernel of the squared distance between balanced weights; no rescaling changes it, so none can satisfy it."""

    def ruler(self, scene: "Scene") -> InBalancedGauge:
        """Measure between balanced weights; see :meth:`Kernel.ruler`."""
        return InBalancedGauge(scene.network.graph)
