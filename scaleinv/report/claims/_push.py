"""Cases on networks that are pushed away from a checkpoint."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from scaleinv.report.claims.base import Case, Judge, judged
from scaleinv.report.effects.intervals import estimate_mean
from scaleinv.report.effects.verdicts import NO_MARGIN, Margin

# Accuracies that differ by less count as equal.
HALF_A_POINT = Margin(0.005, "half a point of accuracy")


def difference(name: str, measures: str, pair: Sequence[pd.Series], judge: Judge, margin: Margin, epochs: int) -> Case:
    """Judge first minus second, paired by seed; seeds of which one has diverged are left out."""
    apart = (pair[0] - pair[1]).dropna()
    return judged(name, measures, estimate_mean(apart.to_numpy()), judge, margin, epochs=epochs)


def ratio(
    name: str, measures: str, pair: Sequence[pd.Series], judge: Judge, epochs: int, margin: Margin = NO_MARGIN
) -> Case:
    """Judge first over second, paired by seed; seeds of which one has diverged are left out."""
    logs = np.log((pair[0] / pair[1]).dropna().to_numpy())
    return judged(name, measures, estimate_mean(logs).as_ratio(), judge, margin, epochs=epochs)
