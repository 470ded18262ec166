"""The loss on a fixed part of the training images, after the epoch: what ``train_loss``, a running mean, is not."""

from dataclasses import dataclass

import torch
from torch import Tensor

from scaleinv.probes.base import Probe, Reading, Scene


@dataclass(frozen=True, kw_only=True)
class TrainSubset(Probe):
    """Score evenly spaced training images with the weights at the end of the epoch.

    ``train_loss`` is the mean over the epoch's steps, each with other weights; subtracting it from a validation loss
    does not measure overfitting. The images are the same for every seed and epoch.

    Attributes:
        images: number of images; all of them if the data set has fewer.
    """

    images: int = 5000

    def __post_init__(self) -> None:
        """Check the range."""
        super().__post_init__()
        if self.images < 1:
            raise ValueError(f"images must be at least 1, got {self.images}")

    def columns(self, scene: Scene) -> tuple[str, ...]:
        """Return the same two names for every scene; see :meth:`Probe.columns`."""
        return ("train_subset_loss", "train_subset_accuracy")  # the accuracy of numbers is NaN

    def attach(self, scene: Scene) -> "TrainSubsetReading":
        """Take the images; see :meth:`Probe.attach`."""
        return TrainSubsetReading(scene, self.images)


class TrainSubsetReading(Reading):
    """See :class:`TrainSubset`."""

    def __init__(self, scene: Scene, images: int) -> None:
        """Take every (n / images)-th of n training images."""
        n = len(scene.data.train)
        images = min(images, n)
        index = torch.arange(images, device=scene.data.train.labels.device) * n // images
        self._scene, self._split = scene, scene.data.train.part(index)
        self._sums = torch.zeros(2, len(scene.members), dtype=torch.float64, device=index.device)

    def look(self) -> None:
        """Score the images; see :meth:`Reading.look`."""
        score = self._scene.evaluator.score(self._scene.weights, self._split)
        self._sums[0], self._sums[1] = score.loss, torch.nan if score.correct is None else score.correct

    def read(self) -> dict[str, Tensor]:
        """Return the means over the images; see :meth:`Reading.read`."""
        loss, accuracy = (self._sums / len(self._split)).cpu()
        return {"train_subset_loss": loss, "train_subset_accuracy": accuracy}

    def tensors(self) -> dict[str, Tensor]:
        """Return the last sums; see :meth:`Reading.tensors`."""
        return {"sums": self._sums}
