"""Base class of data sets: inputs and targets before splitting and normalisation."""

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from scaleinv.training.data import Split


@dataclass(frozen=True)
class Examples:
    """Inputs and targets before splitting and normalisation.

    Attributes:
        train: training inputs and targets.
        test: test inputs and targets, or None if there is one part only.
        classes: number of classes, labels being ``0`` to ``classes - 1``; of outputs where the targets are numbers.
        shape: shape of one input: ``(channels, height, width)`` for images, ``(features,)`` for vectors, or any other.
        channels: number of equal blocks of an input's numbers that have a mean and a standard deviation each.
    """

    train: Split
    test: Split | None
    classes: int
    shape: tuple[int, ...]
    channels: int

    @cached_property
    def checksum(self) -> str:
        """Sixteen hexadecimal digits that depend on every number, its type and the shapes; not on files or names."""
        digest = hashlib.sha256(repr(self.shape).encode())
        for split in (self.train, self.test):
            for tensor in () if split is None else (split.images, split.labels):
                digest.update(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
                digest.update(tensor.contiguous().numpy().data)
            digest.update(b"|")
        return digest.hexdigest()[:16]


class Images(Examples):
    """Training and test images as published."""

    def __init__(
        self, train: Split, test: Split, channels: int, classes: int, size: tuple[int, int] | None = None
    ) -> None:
        """Find the shape of an image: ``(channels, height, width)``; ``(features,)`` if its pixels form no square.

        Args:
            train: training images and labels; the pixels of each channel are contiguous.
            test: test images and labels, in the same layout.
            channels: number of channels of an image.
            classes: number of classes; labels are ``0`` to ``classes - 1``.
            size: height and width of an image; None for square images.

        Raises:
            ValueError: a given size is not that of the images.
        """
        features = train.images.shape[1]
        side = math.isqrt(features // channels)
        shape: tuple[int, ...] = (channels, *(size or (side, side)))
        if math.prod(shape) != features:
            if size:
                raise ValueError(
                    f"images of {channels} channels and size {size} do not have the {features} pixel values that they"
                    " hold"
                )
            shape = (features,)
        super().__init__(train, test, classes, shape, channels)


@dataclass(frozen=True)
class ImageSet(ABC):
    """A set of inputs with targets. The fields of a subclass that is a frozen dataclass are its configuration keys.

    Attributes:
        pixels: approximate number of pixel values of all training images, used to estimate the time of a run.
    """

    pixels: ClassVar[int] = 60_000 * 28 * 28

    @abstractmethod
    def load(self, root: Path, download: bool) -> Examples:
        """Read the set into CPU memory.

        Args:
            root: folder of all data sets; each has its own folder in it.
            download: fetch missing files.

        Raises:
            DataError: files are missing or damaged.
        """

    @staticmethod
    def of_function(function: Callable[..., Any]) -> "type[ImageSet]":
        """Return a set of what a function returns; its parameters are the set's options.

        Raises:
            TypeError: a parameter cannot be given by name.
        """
        from scaleinv.runs.datasets._function import of_function

        return of_function(function)

    def stamp(self) -> str:
        """Return a text that changes when the set has to be read again in the same process."""
        return ""
