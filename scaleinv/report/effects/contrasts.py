"""Several factors at once: main effects and interaction of a 2 x 2, and slopes of a best rate against a value."""

from typing import NamedTuple

import numpy as np

from scaleinv.report.effects.intervals import Estimate, estimate_statistic
from scaleinv.runs.errors import UserError


class TwoByTwo(NamedTuple):
    """Effects per seed of two factors with two levels each.

    Attributes:
        row: mean over the columns of (second row - first row).
        column: mean over the rows of (second column - first column).
        interaction: effect of the row in the second column minus that in the first.
    """

    row: np.ndarray
    column: np.ndarray
    interaction: np.ndarray


def two_by_two(cells: np.ndarray) -> TwoByTwo:
    """Split log losses (2 rows, 2 columns, seeds) into main effects and interaction, seed by seed.

    Where the interaction is larger than the main effects these say little: report the four cells.

    Raises:
        UserError: a member has diverged; a mean of log losses then does not exist.
    """
    if not np.isfinite(cells).all():
        raise UserError("a member of the 2 x 2 has diverged", "", "cap its loss at that of chance before")
    (a, b), (c, d) = cells
    return TwoByTwo((c + d - a - b) / 2, (b + d - a - c) / 2, (d - c) - (b - a))


def larger_effect(first: np.ndarray, second: np.ndarray) -> Estimate:
    """Estimate |mean of the first effect| - |mean of the second|, both one number per seed.

    No mean, so by the studentised bootstrap. Simulated at n = 5 and 10, its interval covers 93 to 96 % where one effect
    is clear of 0, but 88 % where both may be 0, for there the absolute value has a kink: report both effects beside it.
    """

    def difference(seeds: np.ndarray) -> np.ndarray:
        return np.abs(first[seeds].mean(-1)) - np.abs(second[seeds].mean(-1))

    return estimate_statistic(difference, len(first))


def slopes(losses: np.ndarray, values: np.ndarray, rates: np.ndarray, chance: float) -> np.ndarray:
    """Return by seed the least-squares slope of log(best learning rate) against log(value).

    Values at which some seed does not learn at any rate are left out: their "best" rate is noise.

    Args:
        losses: (seeds, values, rates); infinite where diverged, which is never the best.
        values: ascending, positive.
        rates: positive.
        chance: a seed learns where its best loss is below this.

    Raises:
        UserError: fewer than two values are left.
    """
    learns = (losses.min(2) < chance).all(0)
    if learns.sum() < 2:
        raise UserError(f"only {int(learns.sum())} of {len(values)} values learn with every seed")
    x = np.log(values[learns]) - np.log(values[learns]).mean()
    y = np.log(rates)[losses[:, learns].argmin(2)]
    return y @ x / (x @ x)
