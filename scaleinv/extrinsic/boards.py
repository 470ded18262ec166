"""Toy data: points of a square with the classes of a board (P A.2)."""

import math

import torch
from torch import Tensor

# Half the side of the square, which gives coordinates the variance 1.
HALF = math.sqrt(3)


def points(count: int, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
    """Draw points uniformly from the square ``[-sqrt 3, sqrt 3]^2``, ``(count, 2)``."""
    return (2 * torch.rand(count, 2, generator=generator, dtype=dtype) - 1) * HALF


def board(x: Tensor, cells: int = 4) -> Tensor:
    """Return the classes 0 to 3 of a board with ``cells`` x ``cells`` fields, ``(column + row) mod 4``.

    The floors are taken separately: the printed (A.11), :func:`stripes`, gives no board.
    """
    fields = ((x + HALF) * cells / (2 * HALF)).floor().clamp(0, cells - 1).long()
    return fields.sum(-1) % 4


def stripes(x: Tensor) -> Tensor:
    """Return the classes of the printed formula, ``floor(4 (x + y) / sqrt 3) mod 4``: 16 diagonal stripes."""
    return (4 * x.sum(-1) / HALF).floor().long() % 4
