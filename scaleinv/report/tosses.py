"""Records of networks that are read by coin tosses, as tables that figures and claims read. No torch."""

import pandas as pd

IN_PLACE = "float"


def tosses(records: pd.DataFrame, part: str, trained: str = IN_PLACE, **where: object) -> pd.DataFrame:
    """Return the rows of one part of the task, of one network and one way to train it.

    Args:
        records: records of the task ``binarization``.
        part: samples, bits, pruning or attention.
        trained: label of the method.
        where: values of further columns.
    """
    keep = (records["part"] == part) & (records["trained"] == trained)
    for column, value in where.items():
        keep &= records[column] == value
    return records[keep]


def by_seed(rows: pd.DataFrame) -> pd.Series:
    """Return the accuracy, the mean over the draws, by seed."""
    return rows.groupby("seed")["accuracy"].mean().sort_index()


def networks(records: pd.DataFrame) -> list[str]:
    """List the networks of the records, in their order."""
    return list(dict.fromkeys(records["network"]))
