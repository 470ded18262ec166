"""Numbers that are computed, not sampled: the interval is their range."""

import numpy as np
import pandas as pd

from scaleinv.report.claims.base import Case
from scaleinv.report.effects.intervals import Estimate
from scaleinv.report.effects.verdicts import CONFIRMED, REFUTED, UNDECIDED, Judgement


def range_case(name: str, measures: str, numbers: pd.Series | np.ndarray, below: float, of: str) -> Case:
    """Judge the claim that all of some exact numbers are below a bound."""
    exact = np.asarray(numbers, dtype=float)
    low, high = float(exact.min()), float(exact.max())
    how = "median and range"
    estimate = Estimate(
        *(float(np.median(exact)), low, high, len(exact), of, how),
        p_less=lambda bound: float(low >= bound),
        p_greater=lambda bound: float(high <= bound),
    )
    verdict = CONFIRMED if high < below else REFUTED if low >= below else UNDECIDED
    rule = f"all {of} below {below:g}: confirmed; none: refuted; otherwise undecided; exact numbers, no sample"
    return Case(name, measures, estimate, Judgement(verdict, rule, float("nan")))
