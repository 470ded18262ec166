"""Data sets, one file each, and their splits and normalisation; a configuration names one by its module."""

from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from scaleinv.runs.datasets.base import Images, ImageSet
from scaleinv.runs.errors import DataError
from scaleinv.runs.registry import find
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
        name: a module of this folder, an entry point in ``scaleinv.runs.datasets``, or ``package.module:Class``.
        root: folder of the files, in torchvision's layout; not used by ``digits``.
        split: ``test`` (the test set is the validation set, as in the source) or ``holdout`` (the validation set is
            taken from the training images, and the test set is reported separately).
        holdout: number of held-out training images, the same ones for all seeds.
        normalise: ``half`` (mean 0.5 and std 0.5, as the source's code does) or ``dataset`` (mean and std of each
            channel over the training images).
        download: fetch missing files.

    Returns:
        The data set, on the CPU.

    Raises:
        DataError: files are missing or damaged; the message names the folder and says what to do.
    """
    raw = _load(name, str(Path(root).expanduser()), download)
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
    return Dataset(name, train, val, test, scale, shift, raw.classes, raw.shape)


def training_pixels(name: str) -> int:
    """Return the approximate number of pixel values of all training images of a data set, without loading it."""
    return _find(name).pixels


def _normalisation(train: Split, channels: int, normalise: str) -> tuple[Tensor, Tensor]:
    """Return scale and shift of every input, so that pixel * scale + shift = (pixel / 255 - mean) / std."""
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


@lru_cache(maxsize=2)
def _load(name: str, root: str, download: bool) -> Images:
    try:
        images = _find(name)().load(Path(root), download)
    except ValueError as error:
        raise DataError(str(error), name, "mend the data set's load()") from error
    labels = torch.cat([images.train.labels, images.test.labels])
    if labels.min() < 0 or labels.max() >= images.classes:
        raise DataError(
            f"{name} is damaged: its labels are {labels.min()} to {labels.max()}, the published ones 0 to "
            f"{images.classes - 1}",
            root,
            "remove its files and fetch or copy them again, or use dataset=digits",
        )
    return images


def _find(name: str) -> type[ImageSet]:
    try:
        return find("scaleinv.runs.datasets", name, ImageSet)  # type: ignore[type-abstract]
    except LookupError as error:
        raise DataError(f"there is no data set {name!r}", "dataset.name", str(error.args[0])) from error
    except TypeError as error:
        raise DataError(str(error), "dataset.name", "name a class that can be made") from error
