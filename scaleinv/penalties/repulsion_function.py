"""Minus the divergence of predictions from those of checkpoints."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaleinv.minima.rulers import InFunctions
from scaleinv.penalties._repulsion import Repulsion, Slope

if TYPE_CHECKING:
    from scaleinv.probes.base import Scene


@dataclass(frozen=True, kw_only=True)
class RepulsionFunction(Repulsion):
    """``-strength * sum_c JS``, JS the mean Jensen-Shannon divergence of the predictions from those at a checkpoint.

    Attributes:
        images: number of training images, the first ones, at which predictions are compared.
    """

    images: int = 256

    def __post_init__(self) -> None:
        """Check the number."""
        super().__post_init__()
        if self.images < 1:
            raise ValueError(f"images must be at least 1, got {self.images}")

    def ruler(self, scene: "Scene") -> InFunctions:
        """Compare predictions at the first training images; see :meth:`Repulsion.ruler`."""
        scene.data.require_labels("repulsion_function, which compares probabilities of classes,")
        some = scene.data.normalise(scene.data.train.images[: self.images])
        return InFunctions(scene.network, some, scene.statistics)

    def slope(self, scene: "Scene") -> Slope:
        """Fall linearly with the divergence, which is bounded; see :meth:`Repulsion.slope`."""
        return Slope(self.strengths(scene).double())
