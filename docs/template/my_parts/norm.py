"""The size of the weights."""

from dataclasses import dataclass

import torch
from torch import Tensor

from scaleinv.probes.base import Probe, Reading, Scene


@dataclass(frozen=True, kw_only=True)
class Norm(Probe):
    """``sqrt(sum w^2)`` over all parameters, when last looked at."""

    def columns(self, scene: Scene) -> tuple[str, ...]:
        """Add one column."""
        return ("norm",)

    def attach(self, scene: Scene) -> "NormReading":
        """Begin at the starting weights."""
        return NormReading(scene)


class NormReading(Reading):
    """See :class:`Norm`."""

    def __init__(self, scene: Scene) -> None:
        """Measure the start."""
        self._scene = scene
        self._norm = torch.zeros(len(scene.members), dtype=torch.float64, device=scene.data.scale.device)
        self.look()

    def look(self) -> None:
        """Measure the weights."""
        self._norm.copy_(sum(w.double().flatten(1).square().sum(1) for w in self._scene.weights.values()).sqrt())

    def read(self) -> dict[str, Tensor]:
        """Return the norm."""
        return {"norm": self._norm.cpu().clone()}

    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint must hold."""
        return {"norm": self._norm}
