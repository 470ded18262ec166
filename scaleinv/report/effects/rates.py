"""A method over the whole grid of learning rates: sensitivity, width of the good range, divergence.

Most functions give one number per seed, so that methods can be compared by means over seeds. An infinite loss counts as
the loss of chance: a member that diverged has learned nothing.
"""

import numpy as np
import pandas as pd

from scaleinv.runs.errors import UserError


def sensitivity(losses: pd.DataFrame, chance: float, average: str = "log lr") -> pd.Series:
    """Measure learning-rate sensitivity by seed: mean over rates of min(loss, chance) - own best loss.

    In the units of the loss; Wortsman et al., arXiv 2309.14322. It is 0 for a method that is equally good at every
    rate, and also for one that learns at none, so report the best loss too. Compare two methods only on the same grid.

    Args:
        losses: seeds x learning rates.
        chance: loss of a network that has learned nothing, log(classes) or the loss before training.
        average: "log lr", the mean over log lr by the trapezoidal rule, which an uneven grid does not bias; or "cells",
            the plain mean over the rates of the grid.
    """
    capped = _capped(losses, chance)
    table, logs = capped.to_numpy(), np.log(capped.columns.to_numpy(dtype=float))
    if average == "cells":
        means = table.mean(1)
    elif average == "log lr":
        means = ((table[:, 1:] + table[:, :-1]) / 2 * np.diff(logs)).sum(1) / (logs[-1] - logs[0])
    else:
        raise UserError(f"there is no average {average!r}", "", "there are 'log lr' and 'cells'")
    return pd.Series(means - table.min(1), capped.index)


def own_best(losses: pd.DataFrame) -> pd.Series:
    """Return each seed's lowest loss over the grid; infinite where it diverged everywhere."""
    return losses.min(axis=1)


def common_best(*methods: pd.DataFrame) -> pd.Series:
    """Return each seed's lowest loss of any method at any learning rate."""
    return pd.concat([own_best(losses) for losses in methods], axis=1, join="inner").min(axis=1)


def good_level(best: pd.Series, tolerance: float, chance: float | None = None) -> pd.Series:
    """Return by seed the loss up to which a learning rate is good.

    (1 + tolerance) * best, or with ``chance``, best + tolerance * (chance - best), which is equally strict on every
    data set.

    Args:
        best: best loss by seed, from :func:`own_best`, which favours methods that are bad everywhere, or from
            :func:`common_best`.
        tolerance: relative excess over the best loss that is still good.
        chance: see :func:`sensitivity`.
    """
    return best * (1 + tolerance) if chance is None else best + tolerance * (chance - best)


def good_decades(losses: pd.DataFrame, level: pd.Series, chance: float) -> pd.Series:
    """Measure by seed how many decades of learning rates have a loss of at most ``level``.

    The curve log(min(loss, chance)) is interpolated linearly in log lr, so that the width need not be a multiple of the
    grid's steps. Several good ranges are added up. The loss of chance is never good, whatever the tolerance. Where the
    grid ends inside a good range, the width is a lower bound (:func:`ends_inside`).
    """
    level = _below_chance(level, chance)
    capped = _capped(losses, chance)
    logs = np.log10(capped.columns.to_numpy(dtype=float))
    over = np.log(capped.to_numpy()) - np.log(level.reindex(capped.index).to_numpy(dtype=float))[:, None]
    left, right = over[:, :-1], over[:, 1:]
    # share of each segment of the curve that lies at or below the level
    crossing = np.abs(left) / np.maximum(np.abs(left) + np.abs(right), np.finfo(float).tiny)
    share = np.where(left <= 0, np.where(right <= 0, 1.0, crossing), np.where(right <= 0, 1 - crossing, 0.0))
    return pd.Series((share * np.diff(logs)).sum(1), capped.index)


def ends_inside(losses: pd.DataFrame, level: pd.Series, chance: float) -> bool:
    """Whether an end of the grid is good for any seed, so that the good range may extend outside the grid."""
    ends = losses.sort_index(axis=1).iloc[:, [0, -1]]
    return bool(ends.le(_below_chance(level, chance).reindex(losses.index), axis=0).any(axis=None))


def diverged_share(losses: pd.DataFrame) -> pd.Series:
    """Return by seed the share of learning rates at which it diverged.

    Members of one seed share their start and their batches, so n is the number of seeds, not of members.
    """
    return np.isinf(losses).mean(axis=1)


def _below_chance(level: pd.Series, chance: float) -> pd.Series:
    return level.clip(upper=chance * (1 - 1e-6))


def _capped(losses: pd.DataFrame, chance: float) -> pd.DataFrame:
    """Return min(loss, chance) with rates ascending."""
    if losses.shape[1] < 2:
        raise UserError("one learning rate is no curve", "", "run a grid of learning rates")
    if losses.isna().any(axis=None):
        raise UserError("some learning rates were not run with every seed", "", "run the missing members")
    return losses.sort_index(axis=1).clip(upper=chance)
