"""Folders of images: one sub-folder per class."""

from pathlib import Path
from typing import Any

import numpy as np

from scaleinv.runs.errors import DataError

# Modes of the imaging library that one byte per channel holds whole -> the mode to read them in.
_READ_AS = {"1": "L", "L": "L", "P": "RGB", "RGB": "RGB", "RGBA": "RGBA", "LA": "RGBA", "PA": "RGBA"}
# Names of a test part beside "train".
_TEST = ("test", "val")


def read_folder(path: Path) -> dict[str, Any]:
    """Read ``path/<class>/<image>``, or ``path/train/<class>/<image>`` with ``path/test`` or ``path/val`` beside it.

    Returns:
        Images, uint8 ``(n, channels, height, width)``, as ``x`` and the names of their classes as ``y``; ``x_test`` and
        ``y_test`` if there is a test part.

    Raises:
        DataError: there are no images, they cannot be read, or differ in size.
    """
    folders = {folder.name for folder in _visible(path) if folder.is_dir()}
    if "train" not in folders or not folders <= {"train", *_TEST}:
        return _part(path)
    train, *others = sorted(folders, key=("train", *_TEST).index)
    if len(others) != 1:
        how = "give one as dataset.path and another as dataset.test_path"
        raise DataError(f"these are {len(folders)} parts, not two: {', '.join(sorted(folders))}", path, how)
    return _part(path / train) | {f"{name}_test": array for name, array in _part(path / others[0]).items()}


def _part(path: Path) -> dict[str, np.ndarray]:
    files = {folder.name: _visible(folder) for folder in _visible(path) if folder.is_dir()}
    if not files:
        raise DataError("this folder has no sub-folders", path, "make one sub-folder of images per class")
    if empty := [name for name, images in files.items() if not images]:
        raise DataError(f"the sub-folder {empty[0]} has no images", path, "fill or remove it")
    if nested := [name for name, images in files.items() if any(image.is_dir() for image in images)]:
        raise DataError(f"the sub-folder {nested[0]} holds folders", path, "put images into it, one folder per class")
    paths = [file for images in files.values() for file in images]
    images = [_read(file) for file in paths]
    channels = max(image.shape[2] for image in images)
    images = [np.broadcast_to(image, (*image.shape[:2], channels)) for image in images]
    for file, image in zip(paths, images, strict=True):
        if image.shape != images[0].shape:
            (height, width), (first_height, first_width) = image.shape[:2], images[0].shape[:2]
            raise DataError(
                f"the images differ in size: {paths[0].relative_to(path)} is {first_width} x {first_height},"
                f" {file.relative_to(path)} is {width} x {height}",
                path,
                "resize them all to one size",
            )
    names = [name for name, listed in files.items() for _ in listed]
    return {"x": np.stack(images).transpose(0, 3, 1, 2), "y": np.array(names)}


def _read(path: Path) -> np.ndarray:
    """Return one image, uint8 ``(height, width, channels)``, of one channel or three."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            if (mode := _READ_AS.get(image.mode)) is None:
                raise DataError(f"this image has mode {image.mode}", path, "save it in grey or RGB, 8 bits per channel")
            if mode != "L" and "transparency" in image.info:
                mode = "RGBA"
            pixels = np.asarray(image.convert(mode))
    except (UnidentifiedImageError, SyntaxError) as error:
        raise DataError("this is no image that can be read", path, "remove it, or save it as PNG") from error
    if mode == "RGBA":
        if (pixels[..., 3] < 255).any():
            raise DataError("this image is partly transparent", path, "save it without an alpha channel")
        pixels = pixels[..., :3]
    return pixels.reshape(*pixels.shape[:2], -1)


def _visible(path: Path) -> list[Path]:
    return sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
