"""Base class of data sets: images and labels before splitting and normalisation."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from scaleinv.training.data import Split


@dataclass(frozen=True)
class Images:
    """Training and test images as published.

    Attributes:
        train: training images and labels; the pixels of each channel are contiguous.
        test: test images and labels, in the same layout.
        channels: number of channels of an image.
        classes: number of classes; labels are ``0`` to ``classes - 1``.
        size: height and width of an image; None for square images.
    """

    train: Split
    test: Split
    channels: int
    classes: int
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Check that a given size is that of the images.

        Raises:
            ValueError: it is not.
        """
        if self.size and math.prod((self.channels, *self.size)) != self.train.images.shape[1]:
            raise ValueError(
                f"images of {self.channels} channels and size {self.size} do not have the"
                f" {self.train.images.shape[1]} pixel values that they hold"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image, ``(channels, height, width)``; ``(features,)`` if its pixels form no square."""
        features = self.train.images.shape[1]
        side = math.isqrt(features // self.channels)
        shape = (self.channels, *(self.size or (side, side)))
        return shape if math.prod(shape) == features else (features,)


class ImageSet(ABC):
    """A set of images with labels.

    Attributes:
        pixels: approximate number of pixel values of all training images, used to estimate the time of a run.
    """

    pixels: ClassVar[int] = 60_000 * 28 * 28

    @abstractmethod
    def load(self, root: Path, download: bool) -> Images:
        """Read the set into CPU memory.

        Args:
            root: folder of all data sets; each has its own folder in it.
            download: fetch missing files.

        Raises:
            DataError: files are missing or damaged.
        """
