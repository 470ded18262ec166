"""What an augmentation is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


class Views(ABC):
    """The training images of a data set, each of which can be seen in many ways."""

    @abstractmethod
    def draw(self, generator: torch.Generator) -> Tensor:
        """Choose how each image is seen in an epoch.

        Args:
            generator: source of randomness, on the CPU; a function of the seed and the epoch alone.

        Returns:
            Whole numbers ``(images, ...)``, on the CPU.
        """

    @abstractmethod
    def take(self, index: Tensor, chosen: Tensor) -> Tensor:
        """Return images as they are seen in this epoch.

        Args:
            index: numbers of the images, ``(n,)``.
            chosen: the rows of :meth:`draw` for these images, ``(n, ...)``, on the images' device.

        Returns:
            ``(n, features)`` in the dtype of the images, the pixels of each channel together.
        """


@dataclass(frozen=True)
class Augmentation(ABC):
    """Options of an augmentation. Subclasses are frozen dataclasses; their fields are its configuration keys.

    Only training images are changed; validation and test images, and what probes measure, stay as they are.
    """

    @abstractmethod
    def attach(self, images: Tensor, shape: Sequence[int]) -> Views | None:
        """Prepare the training images.

        Args:
            images: uint8 or floats ``(n, features)``, on the device.
            shape: shape of one image, ``(channels, height, width)``; empty for vectors.

        Returns:
            The views, or None if every image is always seen as it is.

        Raises:
            ValueError: these images cannot be augmented so; the message says why.
        """
