"""Counts of cells in the plane, as ratios per seed."""

import numpy as np
import pandas as pd

from scaleinv.report.claims.base import Case, Judge, judged
from scaleinv.report.effects.intervals import estimate_mean
from scaleinv.report.figures.cells import EXACT
from scaleinv.report.studies import Study


def counts(study: Study, part: str, method: str = EXACT, **where: object) -> pd.DataFrame:
    """Return the counts of one part of the experiment, seeds x values of its x axis."""
    records = study.records("cells")
    keep = (records["part"] == part) & (records["method"] == method)
    for column, value in where.items():
        keep &= records[column] == value
    return records[keep].pivot(index="seed", columns="x", values="count")


def ratio_case(name: str, measures: str, first: pd.Series, second: pd.Series, judge: Judge) -> Case:
    """Judge the ratio of two counts, paired by seed."""
    logs = np.log(first.to_numpy(dtype=float)) - np.log(second.to_numpy(dtype=float))
    return judged(name, measures, estimate_mean(logs).as_ratio(), judge)
