"""Load data sets into memory."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scaleinv.runs import published
from scaleinv.runs.errors import DataError
from scaleinv.training.data import Dataset, Split


def load_dataset(
    name: str,
    root: str | Path = "data",
    split: str = "test",
    holdout: int = 5000,
    normalise: str = "half",
    download: bool = True,
) -> Dataset:
    """Load a data set into memory.

    Args:
        name: one of ``DATASETS``.
        root: folder of the files, in torchvision's layout; not used by ``digits``.
        split: ``test`` (the test set is the validation set, as in the source) or ``holdout`` (``holdout`` training
            images are the validation set, and the test set is reported beside it).
        holdout: number of held-out training images; which ones is the same for all seeds.
        normalise: ``half`` (mean 0.5 and std 0.5, as the source's code does) or ``dataset`` (mean and std of each
            channel over the training images).
        download: fetch missing files.

    Returns:
        The data set, on the CPU.

    Raises:
        DataError: files are missing or damaged; the message names the folder and the way out.
    """
    if name not in DATASETS:
        raise DataError(
            f"there is no data set {name!r}",
            f"there are {', '.join(DATASETS)}",
            "dataset=digits needs no files",
        )
    raw = _load_raw(name, str(Path(root).expanduser()), download)
    train, val, test = raw.train, raw.test, None
    if split == "holdout":
        if not 0 < holdout < len(train):
            raise DataError(
                f"cannot hold out {holdout} images",
                f"{name} has {len(train)} training images",
                "set dataset.holdout",
            )
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
        train, val, test = raw.train.part(order[holdout:]), raw.train.part(order[:holdout]), raw.test
    scale, shift = _normalisation(train, raw.channels, normalise)
    return Dataset(name, train, val, test, scale, shift, raw.classes)


def _normalisation(train: Split, channels: int, normalise: str) -> tuple[Tensor, Tensor]:
    """Return scale and shift of every input: ``(pixel / 255 - mean) / std``."""
    if normalise == "half":
        mean = std = torch.full((channels,), 0.5, dtype=torch.float64)
    else:
        # Means of squares from a histogram: exact, and no float copy of the images.
        planes = train.images.view(len(train), channels, -1)
        levels = torch.arange(256, dtype=torch.float64) / 255
        counts = torch.stack([torch.bincount(planes[:, c].flatten(), minlength=256) for c in range(channels)])
        shares = counts.double() / counts.sum(1, keepdim=True)
        mean = shares @ levels
        std = (shares @ levels.square() - mean.square()).sqrt()
    pixels = train.images.shape[1] // channels
    return (1 / (255 * std)).repeat_interleave(pixels), (-mean / std).repeat_interleave(pixels)


@dataclass(frozen=True)
class _Raw:
    """Training and test images as published; pixels of one channel lie together, labels are 0 to ``classes - 1``."""

    train: Split
    test: Split
    channels: int
    classes: int


@lru_cache(maxsize=2)
def _load_raw(name: str, root: str, download: bool) -> _Raw:
    raw = DATASETS[name](Path(root), download)
    labels = torch.cat([raw.train.labels, raw.test.labels])
    if labels.min() < 0 or labels.max() >= raw.classes:
        raise DataError(
            f"{name} is damaged: its labels are {labels.min()} to {labels.max()}, the published ones 0 to "
            f"{raw.classes - 1}",
            root,
            "remove its files and fetch or copy them again, or use dataset=digits",
        )
    return raw


def _load_digits(root: Path, download: bool) -> _Raw:
    """Load scikit-learn's 1,797 digits of 8 x 8 pixels; every fifth image is a test image."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    pixels = torch.from_numpy((images * (255 / 16)).round().astype(np.uint8))
    whole = Split(pixels, torch.from_numpy(labels).long())
    held = torch.arange(len(whole)) % 5 == 4
    return _Raw(whole.part(~held), whole.part(held), channels=1, classes=10)


def _load_published(files: published.PublishedSet, channels: int, classes: int) -> Callable[[Path, bool], _Raw]:
    return lambda root, download: _Raw(*files.load(root, download), channels, classes)


DATASETS: dict[str, Callable[[Path, bool], _Raw]] = {
    "digits": _load_digits,
    "mnist": _load_published(published.MNIST, channels=1, classes=10),
    "fashion_mnist": _load_published(published.FASHION_MNIST, channels=1, classes=10),
    "cifar10": _load_published(published.CIFAR10, channels=3, classes=10),
    "cifar100": _load_published(published.CIFAR100, channels=3, classes=100),
}
