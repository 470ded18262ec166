"""The kernel of a distance from checkpoints, in cycle coordinates."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaleinv.minima.rulers import InCycles
from scaleinv.penalties._repulsion import Kernel

if TYPE_CHECKING:
    from scaleinv.probes.base import Scene


@dataclass(frozen=True, kw_only=True)
class RepulsionCycle(Kernel):
    """The kernel of the squared distance between cycle coordinates at the starting network; no rescaling changes it."""

    def ruler(self, scene: "Scene") -> InCycles:
        """Measure between coordinates; see :meth:`Kernel.ruler`."""
        return InCycles.at(scene.network.graph, scene.weights)
