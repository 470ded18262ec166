"""Whole data sets as one tensor on the device, and the order of their batches.

Bytes stay uint8 and are normalised as they are gathered. The order of the batches is a function of the seed and
the epoch alone: members of one seed see the same batches, whatever else is trained with them.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scaleinv.augmentations.base import Views


@dataclass(frozen=True)
class Split:
    """Images and labels, or any inputs and targets.

    Attributes:
        images: uint8 or floats, shape ``(n, features)``; of an image features = channels * height * width.
        labels: int64, shape ``(n,)``; or targets that are numbers, floats of shape ``(n, outputs)``.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def part(self, index: Tensor | slice) -> "Split":
        """Return the images at ``index``."""
        return Split(self.images[index], self.labels[index])

    def to(self, device: torch.device | str, dtype: torch.dtype) -> "Split":
        """Return the split on ``device``, floats in ``dtype``."""
        images, labels = (t.to(device, dtype if t.is_floating_point() else t.dtype) for t in (self.images, self.labels))
        return Split(images, labels)


@dataclass(frozen=True)
class Dataset:
    """A data set ready for training.

    Attributes:
        name: name in the configuration.
        train: images to train on.
        val: images that the learning rate is chosen on.
        test: images that results are reported on, or None where ``val`` is the test set (the source's protocol).
        scale: factor of the pixels, which are normalised to ``pixel * scale + shift``; shape ``(features,)``. Floats
            are normalised when they are read: 1.
        shift: added to them; shape ``(features,)``.
        classes: number of labels; of outputs where the targets are numbers.
        shape: shape of one input, ``(channels, height, width)``; empty for vectors of ``features`` numbers.
    """

    name: str
    train: Split
    val: Split
    test: Split | None
    scale: Tensor
    shift: Tensor
    classes: int
    shape: tuple[int, ...] = ()

    @property
    def inputs(self) -> tuple[int, ...]:
        """Shape of one input, which a network is described for."""
        return self.shape or (self.features,)

    @property
    def has_numbers(self) -> bool:
        """Whether the targets are numbers (regression) instead of labels."""
        return self.train.labels.is_floating_point()

    def require_labels(self, who: str) -> None:
        """Check that the targets are labels.

        Raises:
            ValueError: they are numbers; ``who`` begins the sentence.
        """
        if self.has_numbers:
            raise ValueError(f"{who} needs labels, and the targets of {self.name} are numbers")

    @property
    def features(self) -> int:
        """Number of inputs: channels * height * width."""
        return self.train.images.shape[1]

    def normalise(self, images: Tensor, out: Tensor | None = None) -> Tensor:
        """Map images to floats in the dtype of ``scale``: ``pixel * scale + shift``; into ``out`` if given."""
        floats = images.to(self.scale.dtype) if out is None else out.copy_(images)
        return floats.mul_(self.scale).add_(self.shift)

    def to(self, device: torch.device | str, dtype: torch.dtype = torch.float32) -> "Dataset":
        """Return the data set on ``device``, normalising to ``dtype``."""
        return replace(
            self,
            train=self.train.to(device, dtype),
            val=self.val.to(device, dtype),
            test=self.test and self.test.to(device, dtype),
            scale=self.scale.to(device, dtype),
            shift=self.shift.to(device, dtype),
        )


class Slab:
    """Normalised images in reused memory: new memory would cost more than the arithmetic."""

    def __init__(self, data: Dataset) -> None:
        """Prepare for the images of ``data``; the memory grows to the largest slab asked for."""
        self._data = data
        self._pixels = data.train.images.new_empty(0, data.features)
        self._floats = torch.empty(0, data.features, dtype=data.scale.dtype, device=data.scale.device)

    def gather(self, images: Tensor, index: Tensor) -> Tensor:
        """Return the normalised images at ``index``, ``(groups, n)``, as ``(groups, n, features)``."""
        self._grow(index.numel())
        pixels = torch.index_select(images, 0, index.flatten(), out=self._pixels[: index.numel()])
        return self.normalise(pixels).view(*index.shape, -1)

    def normalise(self, images: Tensor) -> Tensor:
        """Return the normalised images, ``(n, features)``."""
        self._grow(len(images))
        return self._data.normalise(images, self._floats[: len(images)])

    def buffers(self) -> list[Tensor]:
        """Return all memory that is kept between calls."""
        return [self._pixels, self._floats]

    def _grow(self, n: int) -> None:
        if n > len(self._floats):
            self._pixels = self._pixels.new_empty(n, self._data.features)
            self._floats = self._floats.new_empty(n, self._data.features)


def batch_order(seed: int, epoch: int, n: int) -> Tensor:
    """Return the order in which the images of one epoch are seen, a permutation of ``0..n-1``.

    It depends on ``seed`` and ``epoch`` alone; drawn on the CPU, so that every device sees the same.
    """
    return torch.randperm(n, generator=epoch_generator("batch order", seed, epoch))


def epoch_generator(purpose: str, seed: int, epoch: int) -> torch.Generator:
    """Return a generator on the CPU that depends on its purpose, the seed and the epoch alone."""
    digest = hashlib.sha256(f"scaleinv {purpose} {seed} {epoch}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


class Epoch:
    """The batches of one epoch: their order and, if images are augmented, how each image is seen.

    Both depend on the seeds and the epoch alone.
    """

    def __init__(self, data: Dataset, views: Views | None, slab: Slab, seeds: Sequence[int], epoch: int) -> None:
        """Draw the epoch.

        Args:
            data: the data set.
            views: the augmented training images, or None.
            slab: memory of the gathered images.
            seeds: one seed per group of members that share their batches.
            epoch: number of the epoch, counted from 1.
        """
        self._images, self._views, self._slab, device = data.train.images, views, slab, data.scale.device
        self.order = torch.stack([batch_order(seed, epoch, len(data.train)) for seed in seeds]).to(device)
        if views:
            chosen = [views.draw(epoch_generator("augmentation", seed, epoch)) for seed in seeds]
            self._chosen = torch.stack(chosen).to(device)

    def gather(self, index: Tensor) -> Tensor:
        """Return the normalised images at ``index``, ``(groups, n)``, as ``(groups, n, features)``."""
        if self._views is None:
            return self._slab.gather(self._images, index)
        groups = torch.arange(len(index), device=index.device)[:, None]
        seen = self._views.take(index.flatten(), self._chosen[groups, index].flatten(0, 1))
        return self._slab.normalise(seen).view(*index.shape, -1)
