"""From arrays of a user's own to examples; everything that cannot be trained on is refused in a sentence."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scaleinv.runs.datasets.base import Examples
from scaleinv.runs.errors import DataError
from scaleinv.training.data import Split

AUTO, LABELS, NUMBERS = "auto", "labels", "numbers"
KINDS = (AUTO, LABELS, NUMBERS)
# Other names of the training part, which some published files use.
ALSO = {"x_train": "x", "y_train": "y"}
PARTS = ("", "_test")
_NAMES = "arrays x and y, and x_test and y_test if there is a test part"


def named(given: Any, where: str) -> dict[str, Any]:
    """Name what a file or a function gives: a mapping, ``(x, y)`` or ``(x, y, x_test, y_test)``.

    Raises:
        DataError: it is something else.
    """
    if isinstance(given, Mapping):
        return {ALSO.get(str(name), str(name)): value for name, value in given.items()}
    if isinstance(given, tuple | list) and len(given) in (2, 4):
        return dict(zip(("x", "y", "x_test", "y_test"), given, strict=False))
    raise DataError(f"{where} gives {_described(given)}", where, f"give {_NAMES}, as a dict or in this order")


def examples(arrays: Mapping[str, Any], where: str, kind: str = AUTO) -> Examples:
    """Check arrays and make examples of them.

    Args:
        arrays: ``x``, inputs ``(n, ...)``, and ``y``, targets ``(n,)`` or ``(n, outputs)``; ``x_test`` and ``y_test``
            if there is a test part; NumPy arrays or tensors. Whole numbers and texts are labels, floats are numbers.
        where: file or function that they come from, for messages.
        kind: ``labels`` or ``numbers``, whatever the type of the targets is; or ``auto``.

    Raises:
        DataError: they cannot be trained on; the message says why.
    """
    parts = [part for part in PARTS if not part or {"x_test", "y_test"} & set(arrays)]
    for name in (f"{axis}{part}" for part in parts for axis in "xy"):
        if name not in arrays:
            raise DataError(f"there is no {name}, only {', '.join(arrays) or 'nothing'}", where, f"save {_NAMES}")
    checked = {name: _array(arrays[name], name, where) for part in parts for name in (f"x{part}", f"y{part}")}
    for part in parts:
        if len(checked[f"x{part}"]) != len(checked[f"y{part}"]):
            counts = " and ".join(f"{name}{part} has {len(checked[name + part]):,} entries" for name in "xy")
            raise DataError(f"{counts}", where, "give one target per input")
    inputs = [_inputs(checked[f"x{part}"], f"x{part}", where) for part in parts]
    shapes = [checked[f"x{part}"].shape[1:] or (1,) for part in parts]
    if shapes[0] != shapes[-1] or inputs[0].is_floating_point() != inputs[-1].is_floating_point():
        both = " and ".join(f"x{part} {str(x.dtype)[6:]} {s}" for part, x, s in zip(PARTS, inputs, shapes, strict=True))
        raise DataError(f"the two parts differ: {both}", where, "give both the same type and shape")
    targets, classes = _targets([checked[f"y{part}"] for part in parts], kind, where)
    train, *test = (Split(x, y) for x, y in zip(inputs, targets, strict=True))
    # A mean per channel of an image, per number of a vector, and one for any other shape.
    channels = shapes[0][0] if len(shapes[0]) in (1, 3) else 1
    return Examples(train, test[0] if test else None, classes, shapes[0], channels)


def _array(given: Any, name: str, where: str) -> np.ndarray:
    """Turn into an array of numbers or texts, with an entry at least, all numbers finite."""
    if isinstance(given, Tensor):
        given = given.detach().cpu()
        given = (given.float() if given.dtype == torch.bfloat16 else given).numpy()
    array = np.asarray(given)
    if array.dtype.kind not in "biufUS":
        what = "Python objects" if array.dtype.kind == "O" else str(array.dtype)
        raise DataError(f"{name} holds {what}, not numbers", where, "save it as one array of numbers")
    if array.ndim == 0 or array.size == 0:
        raise DataError(f"{name} is empty: its shape is {array.shape}", where, "give at least one entry")
    if array.dtype.kind == "f" and (bad := ~np.isfinite(array.reshape(len(array), -1)).all(1)).any():
        raise DataError(
            f"{bad.sum():,} entries of {name} hold NaN or infinity, the first is at index {bad.argmax():,}",
            where,
            "leave these entries out, or fill them in",
        )
    return array


def _inputs(array: np.ndarray, name: str, where: str) -> Tensor:
    """Return inputs ``(n, features)``: bytes stay bytes, float64 and whole numbers become float64, others float32."""
    if array.dtype.kind in "US":
        raise DataError(f"{name} holds text, not numbers", where, "code it as numbers")
    if array.dtype != np.uint8:
        array = array.astype(np.float32 if array.dtype.kind == "f" and array.dtype.itemsize <= 4 else np.float64)
    flat = array.reshape(len(array), math.prod(array.shape[1:]))
    return torch.from_numpy(np.require(flat, requirements=["C", "W"]))


def _targets(arrays: Sequence[np.ndarray], kind: str, where: str) -> tuple[list[Tensor], int]:
    """Return the targets of every part, and the number of classes or outputs."""
    types = "".join(array.dtype.kind for array in arrays)
    is_text = any(one in "US" for one in types)
    if is_text and kind == NUMBERS:
        raise DataError("the targets are text, not numbers", where, "name another target, or code it as numbers")
    if kind == NUMBERS or (kind == AUTO and "f" in types and not is_text):
        return _numbers(arrays, where)
    columns = [array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array for array in arrays]
    if any(column.ndim != 1 for column in columns):
        raise DataError(
            f"the targets have shape {arrays[0].shape}, labels have one number per input",
            where,
            "give the number of the class, or floats for several numbers",
        )
    every = np.concatenate([column.astype(str) if is_text else column for column in columns])
    found = np.unique(every)
    if len(found) == 1:
        raise DataError(f"there is one class only: every label is {found[0]}", where, "give at least two classes")
    if is_text:
        every = np.searchsorted(found, every)
    elif (found != np.arange(len(found))).any():
        raise DataError(
            f"the labels are {found[0]} to {found[-1]}, {len(found):,} different ones; they must be 0 to"
            f" {len(found) - 1:,} without a gap",
            where,
            "number the classes from 0, or set dataset.target_kind=numbers for regression",
        )
    labels = torch.from_numpy(every.astype(np.int64))
    return list(labels.split([len(column) for column in columns])), len(found)


def _numbers(arrays: Sequence[np.ndarray], where: str) -> tuple[list[Tensor], int]:
    """Return targets that are numbers, ``(n, outputs)``, and the number of outputs."""
    shapes = [array.shape[1:] or (1,) for array in arrays]
    if len(shapes[0]) > 1 or shapes[0] != shapes[-1]:
        raise DataError(
            f"the targets have shape {' and '.join(str(array.shape) for array in arrays)}, numbers have shape (n,) or"
            " (n, outputs)",
            where,
            "flatten them",
        )
    typed = [array.reshape(len(array), -1).astype(np.float64) for array in arrays]
    return [torch.from_numpy(array) for array in typed], shapes[0][0]


def _described(given: Any) -> str:
    return f"a {type(given).__name__}" + (f" of {len(given)}" if isinstance(given, tuple | list) else "")
