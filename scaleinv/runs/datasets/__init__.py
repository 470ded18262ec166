"""Data sets, one file each, and their splits and normalisation; a configuration names one by its module."""

import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scaleinv.runs.datasets.base import Examples, ImageSet
from scaleinv.runs.errors import DataError
from scaleinv.runs.registry import find
from scaleinv.training.data import Dataset, Split

PACKAGE = "scaleinv.runs.datasets"
# What was read last, by the set with its options: training and checking read the same set several times.
_read: dict[str, Examples] = {}
_AT_ONCE = 2


def load_dataset(
    name: str,
    root: str | Path = "auto",
    split: str = "auto",
    holdout: float = 5000,
    normalise: str = "half",
    download: bool = True,
    split_seed: int = 0,
    checksum: str | None = None,
    **options: Any,
) -> Dataset:
    """Load a data set into memory.

    Args:
        name: a module of this folder, an entry point in ``scaleinv.runs.datasets``, or ``package.module:name`` of a
            class or function.
        root: folder of the files, in torchvision's layout; not used by ``digits``. ``auto``: see :func:`data_folder`.
        split: ``test`` (the test set is the validation set, as in the source), ``holdout`` (the validation set is taken
            from the training images, and the test set, if there is one, is reported separately), or ``auto``
            (``test`` where there is a test set).
        holdout: number of held-out training images, the same ones for all seeds; below 1 their share.
        normalise: ``half`` (bytes to -1 ... 1: mean 0.5 and std 0.5, as the source's code does), ``dataset`` (mean and
            std of each channel over the training images), or ``none`` (bytes to 0 ... 1, floats as they are).
        download: fetch missing files.
        split_seed: seed of the choice of the held-out images.
        checksum: what :attr:`Examples.checksum` must be, or None if the data need not be compared.
        options: options of this data set.

    Returns:
        The data set, on the CPU.

    Raises:
        DataError: files are missing, damaged or other ones; the message names them and says what to do.
    """
    raw = read_examples(name, set_named(name)(**options), root, download)
    if checksum not in (None, raw.checksum):
        raise DataError(
            f"the data of {name} are not those of this run: their checksum is {raw.checksum}, not {checksum}",
            "dataset.checksum",
            "put the old data back; or leave dataset.checksum out, and these data are another run",
        )
    train, val, test = raw.train, raw.test, None
    if split == "holdout" or (split == "auto" and val is None):
        count = round(holdout * len(train)) if 0 < holdout < 1 else holdout
        if not 0 < count < len(train) or count != (count := int(count)):
            raise DataError(
                f"cannot hold out {count} images",
                f"{name} has {len(train)} training images",
                "set dataset.holdout",
            )
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(split_seed))
        train, val, test = raw.train.part(order[count:]), raw.train.part(order[:count]), raw.test
    if val is None:
        raise DataError(f"{name} has no test part", "dataset.split", "set dataset.split=holdout, or give a test part")
    if train.images.is_floating_point():
        (train, val, test), scale, shift = _normalised_floats(name, (train, val, test), raw.channels, normalise)
    else:
        scale, shift = _normalisation(train, raw.channels, normalise)
    return Dataset(name, train, val, test, scale, shift, raw.classes, raw.shape)


def set_named(name: str) -> type[ImageSet]:
    """Return the class of a data set by its name; of a function, a class with its parameters as fields.

    Raises:
        DataError: there is none.
    """
    try:
        return find(PACKAGE, name, ImageSet)  # type: ignore[type-abstract]
    except LookupError as error:
        raise DataError(f"there is no data set {name!r}", "dataset.name", str(error.args[0])) from error
    except TypeError as error:
        raise DataError(str(error), "dataset.name", "name a class that can be made, or a function") from error


def read_examples(name: str, source: ImageSet, root: str | Path, download: bool) -> Examples:
    """Read a data set, or take what was read last if its files are unchanged.

    Args:
        name: its name, for messages.
        source: the set, with its options.
        root: folder of all data sets, or ``auto``.
        download: fetch missing files.

    Raises:
        DataError: it cannot be read, or its labels are out of range.
    """
    folder = data_folder() if str(root) == "auto" else Path(root).expanduser()
    key = f"{name} {source!r} {folder} {download} {source.stamp()}"
    if key in _read:
        return _read[key]
    try:
        raw = source.load(folder, download)
    except ValueError as error:
        raise DataError(str(error), name, "mend the data set's load()") from error
    labels = torch.cat([split.labels for split in (raw.train, raw.test) if split is not None])
    if not labels.is_floating_point() and (labels.min() < 0 or labels.max() >= raw.classes):
        raise DataError(
            f"{name} is damaged: its labels are {labels.min()} to {labels.max()}, the published ones 0 to "
            f"{raw.classes - 1}",
            folder,
            "remove its files and fetch or copy them again, or use dataset=digits",
        )
    while len(_read) >= _AT_ONCE:
        _read.pop(next(iter(_read)))
    return _read.setdefault(key, raw)


def data_folder() -> Path:
    """Return the folder of the data sets: ``$SCALEINV_DATA``, else ``data`` if it is there, else the user's cache.

    The cache is ``scaleinv`` in ``$XDG_CACHE_HOME`` or the platform's folder for caches, ``~/.cache`` on Linux.
    """
    if given := os.environ.get("SCALEINV_DATA"):
        return Path(given).expanduser()
    if (beside := Path("data")).is_dir():
        return beside
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if xdg.is_absolute():  # the specification says to ignore a relative one
        return xdg / "scaleinv"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "scaleinv" / "Cache"
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "scaleinv"


def _normalisation(train: Split, channels: int, normalise: str) -> tuple[Tensor, Tensor]:
    """Return scale and shift of every input, so that pixel * scale + shift = (pixel / 255 - mean) / std."""
    if normalise == "half":
        mean = std = torch.full((channels,), 0.5, dtype=torch.float64)
    elif normalise == "none":
        mean, std = torch.zeros(channels, dtype=torch.float64), torch.ones(channels, dtype=torch.float64)
    else:
        # Means of squares from a histogram: exact, and no float copy of the images.
        planes = train.images.view(len(train), channels, -1)
        levels = torch.arange(256, dtype=torch.float64) / 255
        counts = torch.stack([torch.bincount(planes[:, c].flatten(), minlength=256) for c in range(channels)])
        shares = counts.double() / counts.sum(1, keepdim=True)
        mean = shares @ levels
        std = (shares @ levels.square() - mean.square()).sqrt()
        std[(shares == 1).any(1)] = 1.0  # a constant channel
    pixels = train.images.shape[1] // channels
    return (1 / (255 * std)).repeat_interleave(pixels), (-mean / std).repeat_interleave(pixels)


def _normalised_floats(
    name: str, splits: tuple[Split, Split, Split | None], channels: int, normalise: str
) -> tuple[tuple[Split, Split, Split | None], Tensor, Tensor]:
    """Normalise floats by their training part, in float64; return the splits, and a scale and shift without effect."""
    train, val, test = splits
    one, zero = (torch.full((train.images.shape[1],), number, dtype=torch.float64) for number in (1.0, 0.0))
    if normalise == "none":
        return splits, one, zero
    if normalise == "half":
        raise DataError(
            f"normalise=half is for bytes, and {name} has floats", "dataset.normalise", "write dataset or none"
        )
    planes = train.images.view(len(train), channels, -1).double()
    std, mean = torch.std_mean(planes, (0, 2), correction=0)
    if not std.isfinite().all():
        raise DataError(f"the numbers of {name} are too large to be normalised", "x", "divide them")
    std[planes.amax((0, 2)) == planes.amin((0, 2))] = 1.0  # a constant: its std may be round-off instead of 0

    def normalised(split: Split) -> Split:
        blocks = split.images.view(len(split), channels, -1).to(torch.float64, copy=True)
        return Split(blocks.sub_(mean[:, None]).div_(std[:, None]).flatten(1).to(split.images.dtype), split.labels)

    return (normalised(train), normalised(val), test and normalised(test)), one, zero
