"""From rows per epoch to one number per member, the same way in every figure and claim. No torch."""

import numpy as np
import pandas as pd

MEMBER = ["dataset", "network", "space", "optimizer", "lr", "seed", "value"]


def best_epochs(records: pd.DataFrame, measure: str = "val_loss", extra: tuple[str, ...] = ()) -> pd.DataFrame:
    """Take every member's best epoch, the source's protocol; a diverged member counts as infinite.

    Args:
        records: from :func:`scaleinv.records.load_records`.
        measure: the column to minimise over epochs from 1 on.
        extra: further columns that tell members apart.

    Returns:
        One row per member: its columns, ``epoch`` (the best one), and ``measure``.
    """
    keys = [*MEMBER, *extra]
    trained = records[records["epoch"] > 0].copy()
    last = trained.groupby(keys, dropna=False)["status"].transform("last")
    trained.loc[(last == "diverged") | trained[measure].isna(), measure] = np.inf
    rows = trained.groupby(keys, dropna=False)[measure].idxmin()
    return trained.loc[rows, [*keys, "epoch", measure]].reset_index(drop=True)
