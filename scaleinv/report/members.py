"""From rows per epoch to one number per member, the same way in every figure and claim. No torch."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

# Names of the four choices, the first columns of every sweep.
LABELS = ["dataset", "network", "space", "optimizer"]


def member_columns(records: pd.DataFrame, without: Sequence[str] = ()) -> list[str]:
    """List the columns that tell the members of a sweep apart: its choices and axes, which stand before ``epoch``.

    Members of two runs are the same only if their ``configuration`` is the same too.
    """
    columns = [str(name) for name in records]
    names = columns[columns.index("configuration") + 1 : columns.index("epoch")] if "epoch" in columns else []
    return [name for name in names if name not in without]


def best_epochs(records: pd.DataFrame, measure: str = "val_loss", extra: Sequence[str] = ()) -> pd.DataFrame:
    """Take every member's best epoch, the source's protocol; a diverged member counts as infinite.

    Args:
        records: from :func:`scaleinv.runs.records.load_records`.
        measure: the column to minimise over epochs from 1 on.
        extra: further columns to keep, each one value a member.

    Returns:
        One row per member: ``configuration``, its columns, ``extra``, ``epoch`` (the best one), and ``measure``.
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
    """Return the learning rates of a grid that are nearest, in log lr, to those wanted."""
    grid = np.array(sorted(set(rates)), dtype=float)
    return [float(grid[np.abs(np.log(grid / lr)).argmin()]) for lr in wanted]


def best_lr(best: pd.DataFrame, by: Sequence[str], measure: str = "val_loss") -> pd.DataFrame:
    """Find each group's learning rate with the lowest median over its seeds.

    Args:
        best: from :func:`best_epochs`.
        by: columns that make a group, e.g. data set and method.
        measure: the column to minimise.

    Returns:
        One row per group: ``by``, ``lr``, the median ``measure``, and ``at_edge``, whether that learning rate is the
        lowest or highest of the grid.
    """
    medians = best.groupby([*by, "lr"])[measure].median().reset_index()
    chosen = medians.loc[medians.groupby(list(by))[measure].idxmin()].reset_index(drop=True)
    ends = medians.groupby(list(by))["lr"].agg(["min", "max"]).reset_index()
    merged = chosen.merge(ends, on=list(by))
    merged["at_edge"] = (merged["lr"] == merged["min"]) | (merged["lr"] == merged["max"])
    return merged.drop(columns=["min", "max"])


def good_range(best: pd.DataFrame, by: Sequence[str], measure: str = "val_loss", within: float = 0.1) -> pd.Series:
    """Measure how wide the range of good learning rates is, in decades.

    A learning rate is good if the loss there is at most ``1 + within`` times the group's own best. On a grid that is
    not even in log lr, each learning rate stands for the interval half way to its neighbours, in log10; the ends of
    the grid for twice their half interval.

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
        lrs: ascending.
        losses: one a learning rate.
        within: how much worse than the best is still good.

    Returns:
        Decades.
    """
    if len(lrs) < 2 or not np.isfinite(losses.min()):
        return 0.0
    logs = np.log10(lrs)
    middle = (logs[1:] + logs[:-1]) / 2
    low = np.concatenate([[2 * logs[0] - middle[0]], middle])
    high = np.concatenate([middle, [2 * logs[-1] - middle[-1]]])
    return float((high - low)[losses <= (1 + within) * losses.min()].sum())
