"""Tables: one column is the target, the others are the inputs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scaleinv.runs.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def read_csv(path: Path, target: str, drop: Sequence[str]) -> dict[str, Any]:
    """Read a CSV file whose first line names the columns; see :func:`_columns`."""
    import pandas as pd

    return _columns(pd.read_csv, path, target, drop)


def read_parquet(path: Path, target: str, drop: Sequence[str]) -> dict[str, Any]:
    """Read a parquet file; see :func:`_columns`."""
    import pandas as pd

    return _columns(pd.read_parquet, path, target, drop)


def _columns(
    read: Callable[[Path], "pd.DataFrame"], path: Path, target: str, drop: Sequence[str]
) -> dict[str, np.ndarray]:
    """Split a table into inputs, float64 ``(rows, columns)``, and the target column.

    Raises:
        DataError: it cannot be read, a named column does not exist, a column is not of numbers, or a cell is empty.
    """
    try:
        table = read(path)
    except ImportError as error:
        raise DataError("reading parquet needs a package that is missing", path, "pip install pyarrow") from error
    except OSError:
        raise
    except Exception as error:  # the readers' own exceptions have no common class
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"this table cannot be read: {reason}", path, "write it with pandas, index=False") from error
    names = [str(name) for name in table.columns]
    table.columns = names
    for key, name in (("target", target), *(("drop", name) for name in drop)):
        if name not in names:
            raise DataError(
                f"there is no column {name!r}, only {_listed(names)}", path, f"set dataset.{key} to a column's name"
            )
    if target in drop:
        raise DataError(f"the target {target!r} is dropped", "dataset.drop", "drop other columns")
    table = table.drop(columns=list(drop))
    inputs = table.drop(columns=target)
    columns = [name for name in names if name not in (target, *drop)]
    leave_out = "dataset.drop=[...] leaves columns out"
    if unnamed := [name for name in columns if name.startswith(("Unnamed:", "__index_level_"))]:
        raise DataError(f"the column {unnamed[0]!r} looks like an index", path, f"save with index=False; {leave_out}")
    if other := [name for name in columns if inputs[name].dtype.kind not in "biuf"]:
        raise DataError(f"not numbers: {_listed(other)}", path, f"code them as numbers; {leave_out}")
    if empty := [name for name in (*columns, target) if table[name].isna().any()]:
        first = f"{_listed(empty)}; the first is row {table[empty].isna().any(axis=1).argmax() + 1:,} below the header"
        raise DataError(f"columns with empty cells: {first}", path, f"fill them in; {leave_out}")
    y = table[target]
    return {"x": inputs.to_numpy(np.float64), "y": y.to_numpy() if y.dtype.kind in "biuf" else y.to_numpy(str)}


def _listed(names: Sequence[str], most: int = 10) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
