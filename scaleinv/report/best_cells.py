"""One number per cell of a table whose rows and columns are keys of the configuration. No torch."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from scaleinv.report.keys import word
from scaleinv.report.members import LABELS, best_epochs, member_columns
from scaleinv.report.methods import with_methods
from scaleinv.runs.config import AXES
from scaleinv.runs.errors import UserError
from scaleinv.runs.suggestions import did_you_mean

METHOD, SEED = "method", "seed"
# Endings of the columns that can be tabulated -> 1 where less is better, -1 where more is.
SIGNS = {"_loss": 1, "_accuracy": -1}


def column_meant(key: str, records: pd.DataFrame) -> str:
    """Return the column of records that a word means: a key, a choice, an axis, or the one key with that last word.

    Raises:
        UserError: it means none, or several.
    """
    settings = [str(name) for name in records][: list(records).index("epoch")]
    known = [name for name in settings if name not in (*AXES, "run", "configuration")]
    key = AXES.get(key, key)
    if key == METHOD or key in known:
        return key
    meant = [name for name in known if name == f"{key}.name"] or [name for name in known if word(name) == key]
    if len(meant) > 1:
        raise UserError(f"{key} may mean {', '.join(meant)}", key, "write it in full")
    if not meant:
        raise UserError(f"the runs have no key {key}", key, did_you_mean(word(key), [METHOD, *map(word, known)]))
    return meant[0]


def best_cells(records: pd.DataFrame, keys: Sequence[str], measure: str = "val_loss") -> pd.DataFrame:
    """Reduce sweeps to one line per cell: the mean over seeds of each member's best epoch, best over other axes.

    The fewest diverged seeds are best, then the best mean over the others; chosen on the same seeds.

    Args:
        records: from :func:`scaleinv.runs.records.load_records` with ``keys=None``.
        keys: columns of the records that define a cell, or ``method``.
        measure: column of a loss or of an accuracy.

    Returns:
        ``keys``, ``method``, the other axes with the values chosen, ``mean``, ``std``, ``n`` (seeds), ``diverged``.

    Raises:
        UserError: runs that differ in another key would share a cell.
    """
    sign = next((sign for ending, sign in SIGNS.items() if measure.endswith(ending)), 0)
    if measure not in records or not sign:
        known = [str(name) for name in records if str(name).endswith(tuple(SIGNS))]
        raise UserError(f"there is no loss or accuracy {measure!r}", "--measure", did_you_mean(measure, known))
    named = with_methods(records, shown=[key for key in keys if key != METHOD])
    for _, own in named.groupby(list(keys), dropna=False, sort=False):
        methods = list(dict.fromkeys(zip(own["dataset"], own[METHOD], strict=True)))
        if len(methods) > 1:
            one, other = (f"{dataset}, {method}" for dataset, method in methods[:2])
            how = "add what differs to --rows or --columns, or choose runs, as in optimizer=sgd"
            raise UserError(f"two methods would share a cell: {one!r} and {other!r}", "--rows, --columns", how)
    axes = member_columns(records, without=(*LABELS, *keys, SEED))
    signed = named.assign(**{measure: sign * named[measure]})
    members = best_epochs(signed, measure, extra=list(dict.fromkeys([*keys, METHOD])))
    is_finite = np.isfinite(members[measure])
    members = members.assign(mean=members[measure].where(is_finite), diverged=~is_finite)
    by = list(dict.fromkeys([*keys, METHOD]))
    table = members.groupby([*by, *axes], dropna=False, sort=False).agg(
        std=("mean", "std"), n=("mean", "size"), diverged=("diverged", "sum"), mean=("mean", "mean")
    )
    table = table.reset_index()
    counts = table.groupby(by, dropna=False)[axes].nunique(dropna=False)
    over = [axis for axis in axes if (counts[axis] > 1).any()]
    ordered = table.sort_values(["diverged", "mean"], kind="stable")
    best = ordered.groupby(by, dropna=False, sort=False).head(1).sort_index()
    return best.assign(mean=sign * best["mean"])[[*by, *over, "mean", "std", "n", "diverged"]].reset_index(drop=True)
