"""No augmentation."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from scaleinv.augmentations.base import Augmentation


@dataclass(frozen=True)
class NoAugmentation(Augmentation):
    """Every image as it is."""

    def attach(self, images: Tensor, shape: Sequence[int]) -> None:
        """Change nothing; see :meth:`Augmentation.attach`."""
        return
