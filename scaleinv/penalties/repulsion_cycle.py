"""The kernel of a distance from checkpoints, in cycle coordinates."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaleinv.minima.rulers import InCycles
from scaleinv.penalties._repulsion import Kernel

if TYPE_CHECKING:
    from scaleinv.probes.base import Scene


@dataclass(frozen=True, kw_only=True)
class RepulsionCycle(Kernel):
    """The kernel with that of the coordinates of a cycle chart at the starting network; no rescaling changes it."""

    def ruler(self, scene: "Scene") -> InCycles:
        """Measure there; see :meth:`Kernel.ruler`."""
        return InCycles.at(scene.network.graph, scene.weights)
