"""The path norm during training."""

from dataclasses import dataclass

import torch
from torch import Tensor

from scaleinv.probes.base import Probe, Reading, Scene
from scaleinv.symmetry.path_norm import path_norm
from scaleinv.symmetry.path_rules import finite_positive


@dataclass(frozen=True, kw_only=True)
class PathNorm(Probe):
    """``(sum over paths of |v_p|^p)^(1/p)``; see :func:`scaleinv.symmetry.path_norm.path_norm`.

    Attributes:
        p: exponent, greater than 0.
    """

    p: float = 2.0

    def __post_init__(self) -> None:
        """Check the exponent."""
        super().__post_init__()
        finite_positive(self.p)

    def columns(self, scene: Scene) -> tuple[str, ...]:
        """Return the same name for every scene; see :meth:`Probe.columns`."""
        return ("path_norm",)

    def attach(self, scene: Scene) -> "PathNormReading":
        """Check that the network has paths; see :meth:`Probe.attach`."""
        return PathNormReading(scene, self.p)


class PathNormReading(Reading):
    """See :class:`PathNorm`."""

    def __init__(self, scene: Scene, p: float) -> None:
        """Look once, which refuses a network without paths."""
        self._scene, self._p = scene, p
        self._norm = self._measured()

    def _measured(self) -> Tensor:
        with torch.no_grad():
            return path_norm(self._scene.network, self._scene.weights, self._p, self._scene.statistics)

    def look(self) -> None:
        """Measure; see :meth:`Reading.look`."""
        self._norm.copy_(self._measured())

    def read(self) -> dict[str, Tensor]:
        """Return the norms at the last look; see :meth:`Reading.read`."""
        return {"path_norm": self._norm.cpu().clone()}

    def tensors(self) -> dict[str, Tensor]:
        """Return the norms; see :meth:`Reading.tensors`."""
        return {"path_norm": self._norm}
