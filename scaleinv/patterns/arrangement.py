"""How many cells lines cut a square into: one hidden layer, without its network (P 2.2.4). No torch."""

import numpy as np


def count_cells(normals: np.ndarray, offsets: np.ndarray, half_width: float) -> int:
    """Count the cells of the lines ``n . x + b = 0`` in the open square ``|x| < half_width``.

    One, plus one for every line that meets the square, plus one for every two lines that cross in it. Of more than two
    lines through one point each pair would count, so lines must be in general position.

    Args:
        normals: ``(lines, 2)``.
        offsets: ``(lines,)``.
        half_width: half width of the square; infinite for the whole plane.
    """
    a, b = normals[:, 0], normals[:, 1]
    reach = np.abs(a) + np.abs(b)
    meets = np.abs(offsets) < half_width * reach if np.isfinite(half_width) else reach > 0
    a, b, c = a[meets], b[meets], offsets[meets]
    first, second = np.triu_indices(len(c), 1)
    determinant = a[first] * b[second] - a[second] * b[first]
    with np.errstate(divide="ignore", invalid="ignore"):
        x = (b[first] * c[second] - b[second] * c[first]) / determinant
        y = (a[second] * c[first] - a[first] * c[second]) / determinant
    inside = (determinant != 0) & (np.maximum(np.abs(x), np.abs(y)) < half_width)
    return int(1 + meets.sum() + inside.sum())


def most_cells(lines: int) -> int:
    """Return how many cells lines cut the plane into if they are in general position: ``1 + D + D (D - 1) / 2``."""
    return 1 + lines + lines * (lines - 1) // 2
