"""What a data set is, before it is split and normalised."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from scaleinv.training.data import Split


@dataclass(frozen=True)
class Images:
    """Training and test images as published.

    Attributes:
        train: training images; the pixels of one channel lie together.
        test: test images.
        channels: number of channels of an image.
        classes: number of classes; labels are ``0`` to ``classes - 1``.
    """

    train: Split
    test: Split
    channels: int
    classes: int


class ImageSet(ABC):
    """A set of images with labels.

    Attributes:
        pixels: about how many numbers the training images are together, by which the time of a run is estimated.
    """

    pixels: ClassVar[int] = 60_000 * 28 * 28

    @abstractmethod
    def load(self, root: Path, download: bool) -> Images:
        """Read it into memory, on the CPU.

        Args:
            root: folder that data sets keep their files in, each below a folder of its own.
            download: fetch files that are missing.

        Raises:
            DataError: files are missing or damaged.
        """
