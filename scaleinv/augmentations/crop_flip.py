"""Random crops of padded images, and reflections."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from scaleinv.augmentations.base import Augmentation, Views


@dataclass(frozen=True)
class CropFlip(Augmentation):
    """Pad with black pixels, crop to the old size at a random place, reflect left to right every other time.

    The augmentation of He et al. (2016, section 4.2) for CIFAR.

    Attributes:
        padding: number of pixels at each side; 0 crops nothing.
        flip: whether images are reflected, each with probability 1/2.
    """

    padding: int = 4
    flip: bool = True

    def __post_init__(self) -> None:
        """Check the padding."""
        if self.padding < 0:
            raise ValueError(f"padding must be at least 0, got {self.padding}")

    def attach(self, images: Tensor, shape: Sequence[int]) -> "CropFlipViews":
        """Pad all images once; see :meth:`Augmentation.attach`."""
        if len(shape) != 3:
            raise ValueError("crop_flip needs a data set of images with channels, height and width")
        if images.is_floating_point():
            raise ValueError("crop_flip pads with black pixels: it needs images of bytes, save them as uint8")
        return CropFlipViews(images.view(-1, *shape), self.padding, self.flip)


class CropFlipViews(Views):
    """See :class:`CropFlip`."""

    def __init__(self, images: Tensor, padding: int, flip: bool) -> None:
        """Pad the images, ``(n, channels, height, width)``."""
        height, width = images.shape[2:]
        crops = pad(images, [padding] * 4).unfold(2, height, 1).unfold(3, width, 1)
        # One view of the padded images, (n, places down, places across, channels, height, width).
        self._crops = crops.permute(0, 2, 3, 1, 4, 5)
        self._flip = flip

    def draw(self, generator: torch.Generator) -> Tensor:
        """Draw the place of the crop, and whether to reflect; see :meth:`Views.draw`."""
        n, places = self._crops.shape[:2]
        place = torch.randint(places, (n, 2), generator=generator)
        return torch.cat([place, torch.randint(2, (n, 1), generator=generator) * self._flip], 1)

    def take(self, index: Tensor, chosen: Tensor) -> Tensor:
        """Crop and reflect; see :meth:`Views.take`."""
        down, across, reflected = chosen.unbind(1)
        crops = self._crops[index, down, across]
        if self._flip:
            crops = torch.where(reflected.bool().view(-1, 1, 1, 1), crops.flip(-1), crops)
        return crops.flatten(1)
