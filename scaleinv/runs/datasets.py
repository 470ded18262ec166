"""Load data sets into memory."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scaleinv.runs.errors import DataError
from scaleinv.training.data import Dataset, Split

# Folder that torchvision keeps a set in, and the exact sizes of the uncompressed files (bytes).
_MNIST_FILES = {
    "train-images-idx3-ubyte": 47_040_016,
    "train-labels-idx1-ubyte": 60_008,
    "t10k-images-idx3-ubyte": 7_840_016,
    "t10k-labels-idx1-ubyte": 10_008,
}


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
    return Dataset(name, train, val, test, scale, shift, int(raw.train.labels.max()) + 1)


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
    train: Split
    test: Split
    channels: int


@lru_cache(maxsize=2)
def _load_raw(name: str, root: str, download: bool) -> _Raw:
    return DATASETS[name](Path(root), download)


def _load_digits(root: Path, download: bool) -> _Raw:
    """Load scikit-learn's 1,797 digits of 8 x 8 pixels; every fifth image is a test image."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    pixels = torch.from_numpy((images * (255 / 16)).round().astype(np.uint8))
    whole = Split(pixels, torch.from_numpy(labels).long())
    held = torch.arange(len(whole)) % 5 == 4
    return _Raw(whole.part(~held), whole.part(held), channels=1)


def _torchvision(cls_name: str, folder: str, sizes: dict[str, int] | None = None) -> Callable[[Path, bool], _Raw]:
    def load(root: Path, download: bool) -> _Raw:
        where = root / folder
        _check_sizes(where, sizes or {})
        parts = [_read(cls_name, root, where, train, download) for train in (True, False)]
        train, test = (Split(_planes(part.data), torch.as_tensor(part.targets).long()) for part in parts)
        return _Raw(train, test, channels=3 if np.ndim(parts[0].data) == 4 else 1)

    return load


def _read(cls_name: str, root: Path, where: Path, train: bool, download: bool) -> Any:
    """Open one half of a torchvision data set, fetching it if that is wanted and possible."""
    try:
        from torchvision import datasets
    except Exception as error:
        raise DataError(
            f"torchvision does not import: {_first_line(error)}",
            "torch and torchvision must fit together and come from the same source",
            "reinstall both, or use dataset=digits, which does not need torchvision",
        ) from error
    way_out = "put the files there, set dataset.root or $SCALEINV_DATA, or use dataset=digits, which needs no files"
    open_half = partial(getattr(datasets, cls_name), root, train=train)
    try:
        return open_half(download=False)
    except Exception as error:
        state = "is damaged" if where.is_dir() and any(where.iterdir()) else "is missing"
        if not download:
            raise DataError(f"{cls_name} {state}: looked in {where}", where, way_out) from error
        try:
            with _fetching(where):
                return open_half(download=True)
        except Exception as failure:
            why = _first_line(failure).rstrip(":")
            raise DataError(
                f"{cls_name} {state}: looked in {where}; fetching failed: {why}", where, way_out
            ) from failure


@contextmanager
def _fetching(where: Path) -> Iterator[None]:
    """Give up on a dead connection after seconds, and leave no empty folders behind."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(10)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
        for folder in (where, where.parent):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def _planes(images: Any) -> Tensor:
    """Flatten images to ``(n, channels * height * width)``; torchvision keeps CIFAR's channels last."""
    pixels = torch.as_tensor(images)
    if pixels.dim() == 4:
        pixels = pixels.permute(0, 3, 1, 2)
    return pixels.flatten(1).contiguous()


def _check_sizes(where: Path, sizes: dict[str, int]) -> None:
    """Refuse files that were only half fetched or unpacked; torchvision does not check them."""
    for name, size in sizes.items():
        path = where / name
        if path.exists() and (found := path.stat().st_size) != size:
            raise DataError(
                f"{path} is damaged: it has {found:,} bytes, the published file {size:,}",
                where,
                "remove it and fetch or copy it again, or use dataset=digits",
            )


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


DATASETS: dict[str, Callable[[Path, bool], _Raw]] = {
    "digits": _load_digits,
    "mnist": _torchvision("MNIST", "MNIST/raw", _MNIST_FILES),
    "fashion_mnist": _torchvision("FashionMNIST", "FashionMNIST/raw", _MNIST_FILES),
    "cifar10": _torchvision("CIFAR10", "cifar-10-batches-py"),
    "cifar100": _torchvision("CIFAR100", "cifar-100-python"),
}
