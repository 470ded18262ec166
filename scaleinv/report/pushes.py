"""Records of networks that are pushed away from a checkpoint, as tables that figures and claims read. No torch."""

import json

import numpy as np
import pandas as pd

from scaleinv.report.studies import Study

STRENGTH, WIDTH = "penalties.repulsion_weights.strength", "penalties.repulsion_weights.width"
# Names of the pushes by penalty, in the order of figures.
PUSHES = {
    "repulsion_weights": "weights",
    "repulsion_balanced": "balanced gauge",
    "repulsion_cycle": "cycle coordinates",
    "repulsion_function": "predictions",
}
NO_PUSH, SEVERAL, MERGED = "no push", "weights, two checkpoints", "weights, two merged"


def with_pushes(records: pd.DataFrame) -> pd.DataFrame:
    """Add the column ``push``: the ruler of each run's push, and whether it has several checkpoints or merged ones."""

    def name(row: pd.Series) -> str:
        listed = json.loads(row["penalties"]) if isinstance(row["penalties"], str) else []
        if not listed:
            return NO_PUSH
        penalty = listed[0]
        several = len(json.loads(row[f"penalties.{penalty}.checkpoints"])) > 1
        merged = str(row[f"penalties.{penalty}.merged"]) == "True"
        return MERGED if merged else SEVERAL if several else PUSHES[penalty]

    first = records.drop_duplicates("run").set_index("run").apply(name, axis=1)
    return records.assign(push=records["run"].map(first))


def checkpoint(records: pd.DataFrame) -> int:
    """Return the epoch of the checkpoint: the first with a distance from it."""
    return int(records.loc[records["weight_distance"].notna(), "epoch"].min())


def strengths(records: pd.DataFrame) -> list[float]:
    """List the strengths of the kernel, ascending; the first is that of the control."""
    return sorted(set(records[STRENGTH]))


def widths(records: pd.DataFrame) -> list[float]:
    """List the widths of the kernel, ascending."""
    return sorted(set(records[WIDTH]))


def usual(records: pd.DataFrame) -> tuple[float, float]:
    """Return strength and width of an ordinary kernel: the lowest strength above 0, and the middle width."""
    listed = widths(records)
    return strengths(records)[1], listed[len(listed) // 2]


def cell(records: pd.DataFrame, strength: float, width: float, lr: float | None = None) -> pd.DataFrame:
    """Return the rows of one kernel, at the lowest learning rate or another one."""
    rate = records["lr"].min() if lr is None else lr
    return records[(records[STRENGTH] == strength) & (records[WIDTH] == width) & (records["lr"] == rate)]


def by_seed(records: pd.DataFrame, measure: str, epoch: int | None = None) -> pd.Series:
    """Return a measure after an epoch, or after the last one, by seed; a diverged member's is NaN."""
    rows = records[records["epoch"] == (records["epoch"].max() if epoch is None else epoch)]
    return rows.set_index("seed")[measure].where((rows["status"] == "ok").to_numpy(), np.nan).sort_index()


def pushed(study: Study) -> pd.DataFrame:
    """Return the records of the grid of strengths and widths."""
    return study.records("push", STRENGTH, WIDTH)


def by_method(records: pd.DataFrame, method: str, combine: str = "predictions") -> pd.DataFrame:
    """Return the scores of one kind of ensemble, by seed."""
    rows = records[(records["method_label"] == method) & (records["combine"] == combine)]
    return rows.set_index("seed").sort_index()
