"""Reduce rows per epoch to one number per member, the same way in every figure and claim. No torch."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

# Names of the four choices, the first columns of every sweep.
LABELS = ["dataset", "network", "space", "optimizer"]


def member_columns(records: pd.DataFrame, without: Sequence[str] = ()) -> list[str]:
    """List the columns that identify a member of a sweep: its choices and axes, which come before ``epoch``.

    Members of two runs are the same only if their ``configuration`` is the same too.

    Args:
        records: from :func:`scaleinv.runs.records.load_records`.
        without: columns to leave out.
    """
    columns = [str(name) for name in records]
    names = columns[columns.index("configuration") + 1 : columns.index("epoch")] if "epoch" in columns else []
    return [name for name in names if name not in without]


def best_epochs(records: pd.DataFrame, measure: str = "val_loss", extra: Sequence[str] = ()) -> pd.DataFrame:
    """Take every member's best epoch, as the source does; the measure of a diverged member is infinite.

    Args:
        records: from :func:`scaleinv.runs.records.load_records`.
        measure: the column to minimise over epochs from 1 on.
        extra: further columns to keep, each with one value per member.

    Returns:
        One row per member: ``configuration``, the columns that identify it, ``extra``, ``epoch`` (the best one), and
        ``measure``.
    """
    axes = member_columns(records)
    keys = [*axes, *(name for name in extra if name not in axes), "configuration"]
    trained = records[records["epoch"] > 0].copy()
    last = trained.groupby(keys, dropna=False)["status"].transform("last")
    trained.loc[(last == "diverged") | trained[measure].isna(), measure] = np.inf
    rows = trained.groupby(keys, dropna=False)[measure].idxmin()
    return trained.loc[rows, ["configuration", *keys[:-1], "epoch", measure]].reset_index(drop=True)


def last_epoch(records: pd.DataFrame, measure: str = "val_loss") -> pd.DataFrame:
    """Return the rows of the last epoch; where a member has diverged, ``measure`` is infinite."""
    last = records[records["epoch"] == records["epoch"].max()].copy()
    last.loc[(last["status"] == "diverged") | last[measure].isna(), measure] = np.inf
    return last


def nearest_lrs(rates: Iterable[float], wanted: Sequence[float]) -> list[float]:
    """Return the learning rates of the grid ``rates`` that are nearest, in log lr, to those wanted."""
    grid = np.array(sorted(set(rates)), dtype=float)
    return [float(grid[np.abs(np.log(grid / lr)).argmin()]) for lr in wanted]


def best_lr(best: pd.DataFrame, by: Sequence[str], measure: str = "val_loss") -> pd.DataFrame:
    """Find for each group the learning rate that a comparison would choose on all seeds.

    Among the rates at which the fewest seeds diverged, it has the lowest geometric mean over the seeds that did not;
    the same rule as :func:`scaleinv.report.effects.choice.leave_one_out`.

    Args:
        best: from :func:`best_epochs`.
        by: columns that define a group, e.g. data set and method.
        measure: the column to minimise.

    Returns:
        One row per group: ``by``, ``lr``, the geometric mean of the ``measure`` there, and ``at_edge``, whether that
        learning rate is the lowest or highest of the grid.
    """
    values = best[measure].astype(float)
    finite = np.isfinite(values)
    logs = pd.Series(np.log(values.where(finite).to_numpy()), best.index)
    cells = best.assign(diverged=~finite, log=logs).groupby([*by, "lr"], dropna=False)
    table = cells.agg(diverged=("diverged", "sum"), log=("log", "mean")).reset_index()
    table["log"] = table["log"].fillna(np.inf)
    chosen = table.sort_values([*by, "diverged", "log", "lr"]).groupby(list(by), dropna=False).head(1)
    ends = table.groupby(list(by), dropna=False)["lr"].agg(["min", "max"]).reset_index()
    merged = chosen.merge(ends, on=list(by))
    merged["at_edge"] = (merged["lr"] == merged["min"]) | (merged["lr"] == merged["max"])
    merged[measure] = np.exp(merged["log"].to_numpy())
    return merged[[*by, "lr", measure, "at_edge"]]


def good_range(best: pd.DataFrame, by: Sequence[str], measure: str = "val_loss", within: float = 0.1) -> pd.Series:
    """Measure the width of the range of good learning rates in decades.

    A learning rate is good if the median loss there is at most ``1 + within`` times the group's own best. Each learning
    rate counts for the interval, in log10, between the midpoints to its neighbours; each end of the grid for twice the
    half interval on its inner side.

    Returns:
        Decades, indexed by ``by``.
    """

    def decades(group: pd.DataFrame) -> float:
        curve = group.groupby("lr")[measure].median().sort_index()
        return decades_of_good(curve.index.to_numpy(dtype=float), curve.to_numpy(), within)

    return best.groupby(list(by))[[*{"lr", measure}]].apply(decades)


def decades_of_good(lrs: np.ndarray, losses: np.ndarray, within: float = 0.1) -> float:
    """Measure the range of good learning rates as :func:`good_range` defines it.

    Args:
        lrs: learning rates, ascending.
        losses: one loss per learning rate.
        within: largest relative excess over the best loss that is still good.

    Returns:
        The width in decades.
    """
    if len(lrs) < 2 or not np.isfinite(losses.min()):
        return 0.0
    logs = np.log10(lrs)
    middle = (logs[1:] + logs[:-1]) / 2
    low = np.concatenate([[2 * logs[0] - middle[0]], middle])
    high = np.concatenate([middle, [2 * logs[-1] - middle[-1]]])
    return float((high - low)[losses <= (1 + within) * losses.min()].sum())
