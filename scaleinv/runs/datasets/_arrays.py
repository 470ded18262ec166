"""Files of named arrays."""

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scaleinv.runs.datasets._examples import named
from scaleinv.runs.errors import DataError


def read_npz(path: Path) -> dict[str, Any]:
    """Read a file of ``numpy.savez``.

    Raises:
        DataError: it is none.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if not isinstance(arrays, Mapping):
                raise ValueError("it holds one array without a name")
            return named({name: _plain(arrays, name) for name in arrays}, str(path))
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"this is no .npz file: {_line(error)}", path, "write it with numpy.savez") from error


def _plain(arrays: Any, name: str) -> np.ndarray | None:
    """Return an array, or None for one of Python objects: it may be one that nobody asks for."""
    try:
        return arrays[name]
    except ValueError:
        return None


def read_pt(path: Path) -> dict[str, Any]:
    """Read a file of ``torch.save``; nothing but tensors and plain containers is unpickled.

    Raises:
        DataError: it holds something else.
    """
    import torch

    try:
        given = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, zipfile.BadZipFile) as error:
        how = "save a dict of tensors, x and y, with torch.save; anything else is not read, since it could run code"
        raise DataError("this file holds more than tensors, or is damaged", path, how) from error
    return named(given, str(path))


def read_safetensors(path: Path) -> dict[str, Any]:
    """Read a safetensors file.

    Raises:
        DataError: it is none.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return named(load(path.read_bytes()), str(path))
    except SafetensorError as error:
        how = "write it with safetensors.torch.save_file"
        raise DataError(f"this is no safetensors file: {_line(error)}", path, how) from error


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
