"""Published image sets: fetch what is missing, compare every file with the published one, read it."""

import hashlib
import pickle
import socket
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from scaleinv.runs.datasets.base import Images, ImageSet
from scaleinv.runs.errors import DataError
from scaleinv.training.data import Split

_WAY_OUT = "put the files there, set dataset.root or $SCALEINV_DATA, or use dataset=digits, which needs no files"


@dataclass(frozen=True)
class PublishedFile:
    """Checksum and shape of a published file.

    Attributes:
        md5: its MD5 sum, or None where only the sum of its compressed form was published.
        shape: shape of the array in an IDX file (MNIST's format: a header with the shape, then one byte per entry), or
            None for another format.
    """

    md5: str | None = None
    shape: tuple[int, ...] | None = None

    @property
    def header(self) -> bytes:
        """The first bytes of an IDX file: zero, zero, 8 for uint8, number of dimensions, sizes as big-endian int32."""
        return b"" if self.shape is None else bytes([0, 0, 8, len(self.shape)]) + np.array(self.shape, ">i4").tobytes()

    def read(self, path: Path) -> np.ndarray:
        """Read the file and compare it with the published one.

        The checksum is computed at every load (0.2 s for MNIST): a cached result would miss a disk error that leaves
        the file's modification time unchanged.

        Returns:
            The file's bytes, uint8.

        Raises:
            DataError: it cannot be read, or differs from the published file.
        """
        try:
            content = np.fromfile(path, np.uint8)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}", path, _WAY_OUT) from error
        wrong = ""
        if self.shape is not None and content.size != (size := len(self.header) + int(np.prod(self.shape))):
            wrong = f"it has {content.size:,} bytes, the published file {size:,}"
        elif content[: len(self.header)].tobytes() != self.header:
            wrong = f"it does not begin as an IDX file of shape {self.shape} does"
        elif self.md5 is not None and (md5 := hashlib.md5(content.data, usedforsecurity=False).hexdigest()) != self.md5:
            wrong = f"its MD5 sum is {md5}, the published file's {self.md5}"
        if wrong:
            mend = "remove it and fetch or copy it again, or use dataset=digits"
            raise DataError(f"{path} is damaged: {wrong}", path, mend)
        return content


class PublishedSet(ImageSet):
    """An image set in the files and folder that torchvision uses.

    The class must have the name of the class in ``torchvision.datasets`` that can fetch the files.

    Attributes:
        folder: folder of the files, below the root.
        channels: number of channels of an image.
        classes: number of classes.
        train: files of the training images, by name.
        test: files of the test images, by name.
    """

    folder: str
    channels: int
    classes: int
    train: Mapping[str, PublishedFile]
    test: Mapping[str, PublishedFile]

    @abstractmethod
    def split(self, contents: list[np.ndarray]) -> Split:
        """Make a split from the contents of its files."""

    def load(self, root: Path, download: bool) -> Images:
        """Read the set; existing files are checked before anything is fetched, and never overwritten."""
        where, files = root / self.folder, {**self.train, **self.test}
        contents = {name: file.read(where / name) for name, file in files.items() if (where / name).exists()}
        if missing := [name for name in files if name not in contents]:
            state = f"{type(self).__name__} is {'incomplete' if contents else 'missing'}: looked in {where}"
            self._fetch(root, where, state, download)
            contents |= {name: files[name].read(where / name) for name in missing}
        train, test = (self.split([contents[name] for name in half]) for half in (self.train, self.test))
        return Images(train, test, self.channels, self.classes)

    def _fetch(self, root: Path, where: Path, state: str, download: bool) -> None:
        if not download:
            raise DataError(state, where, _WAY_OUT)
        try:
            from torchvision import datasets
        except Exception as error:
            raise DataError(
                f"{state}; torchvision, which fetches it, does not import: {_first_line(error)}",
                "torch and torchvision must fit together and come from the same source",
                f"reinstall both, or {_WAY_OUT}",
            ) from error
        try:
            with _give_up_after(10), _no_empty_folders(where):
                getattr(datasets, type(self).__name__)(root, download=True)
        except Exception as failure:
            why = _first_line(failure).rstrip(":")
            raise DataError(f"{state}; fetching failed: {why}", where, _WAY_OUT) from failure


class IdxSet(PublishedSet):
    """A set in MNIST's files.

    Attributes:
        sums: MD5 sums of training images and labels, test images and labels, or None where they are not published.
    """

    channels = 1
    classes = 10
    sums: tuple[str, str, str, str] | None

    def __init__(self) -> None:
        """List the files."""
        self.folder = f"{type(self).__name__}/raw"
        sums = self.sums or (None, None, None, None)
        self.train, self.test = (
            {
                f"{half}-images-idx3-ubyte": PublishedFile(sums[first], (count, 28, 28)),
                f"{half}-labels-idx1-ubyte": PublishedFile(sums[first + 1], (count,)),
            }
            for half, count, first in (("train", 60_000, 0), ("t10k", 10_000, 2))
        )

    def split(self, contents: list[np.ndarray]) -> Split:
        """Make a split from a file of images and a file of labels."""
        images, labels = (torch.from_numpy(content) for content in contents)
        labels = labels[8:].long()
        return Split(images[16:].view(len(labels), -1), labels)


class CifarSet(PublishedSet):
    """A set in CIFAR's pickled batches, which are unpickled only after their MD5 sums have been checked.

    Attributes:
        key: name of the labels in a batch.
    """

    pixels = 50_000 * 3 * 32 * 32
    channels = 3
    key: str

    def split(self, contents: list[np.ndarray]) -> Split:
        """Make a split from the contents of its batches."""
        batches = [pickle.loads(content.data, encoding="latin1") for content in contents]
        labels = torch.tensor([label for batch in batches for label in batch[self.key]])
        return Split(torch.from_numpy(np.concatenate([batch["data"] for batch in batches])), labels)


@contextmanager
def _give_up_after(seconds: float) -> Iterator[None]:
    """Set the timeout of network connections inside the body, in seconds."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextmanager
def _no_empty_folders(where: Path) -> Iterator[None]:
    """Remove folders that are still empty after the body."""
    try:
        yield
    finally:
        for folder in (where, where.parent):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
