"""Epochs (and images) until a loss is reached, censored where it is not.

Methods are compared by the restricted mean: the mean over seeds of min(time, horizon). All members are trained for the
same number of epochs, so this mean is observed, not extrapolated; seeds can be paired, and Student's t applies. For the
median see :func:`scaleinv.report.effects.intervals.estimate_median`: it exists only where half of the seeds reach the
loss, and its interval needs 6 seeds.
"""

import numpy as np
import pandas as pd


def epochs_to(curves: pd.DataFrame, level: float | pd.Series) -> pd.Series:
    """Return by seed the epochs until the loss is first at most ``level``; infinite where it never is.

    Between the ends of two epochs log(loss) is interpolated linearly, so that seeds that reach the level in the same
    epoch still differ. Multiply by the images per epoch to get images. A member that diverges later has still reached
    the level; after divergence its loss is infinite or missing.

    Args:
        curves: losses, seeds x epochs ascending, from epoch 0 (before training) on.
        level: a loss, or one per seed.
    """
    epochs = curves.columns.to_numpy(dtype=float)
    logs = np.log(curves.fillna(np.inf).to_numpy(dtype=float))
    bound = np.log(np.broadcast_to(np.asarray(level, dtype=float), len(curves)))
    times = []
    for losses, aim in zip(logs, bound, strict=True):
        there = np.flatnonzero(losses <= aim)
        if not there.size:
            times.append(np.inf)
        elif (at := there[0]) == 0 or np.isinf(losses[at - 1]):
            times.append(epochs[at])
        else:
            part = (losses[at - 1] - aim) / (losses[at - 1] - losses[at])
            times.append(epochs[at - 1] + part * (epochs[at] - epochs[at - 1]))
    return pd.Series(times, curves.index)


def restricted(times: pd.Series, horizon: float) -> pd.Series:
    """Return min(time, horizon), both in the same unit."""
    return times.clip(upper=horizon)
