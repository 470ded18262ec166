"""Write the metrics of runs, joined with their configurations, as one tidy table: a row per member and epoch."""

import argparse
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from scaleinv.report.commands._selection import add_selection, require, require_done, select
from scaleinv.runs.errors import UserError
from scaleinv.runs.folder import write_atomically
from scaleinv.runs.outcomes import complain, say
from scaleinv.runs.records import load_records
from scaleinv.runs.suggestions import did_you_mean

if TYPE_CHECKING:
    import pandas as pd


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``scaleinv-runs export``."""
    add_selection(parser)
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="FILE.csv, FILE.parquet or FILE.tex; else CSV is printed"
    )
    parser.add_argument(
        "--columns", metavar="NAME,NAME", help="only these columns, such as space,lr,seed,epoch,val_loss"
    )
    parser.add_argument("--force", action="store_true", help="replace the file if it exists")


def run(options: argparse.Namespace) -> None:
    """Read the records of the finished runs among those selected, and write them."""
    write = WRITERS[".csv"] if options.out is None else _writer(options.out, options.force)
    runs = select(options.words, options.results)
    require(runs, options.results)
    done = require_done(runs, options.results)
    table = load_records(*(one.path for one in done), keys=None).drop(columns="configuration")
    counts = f"{len(table):,} rows of {table['run'].nunique()} runs"
    if options.columns is not None:
        table = _chosen(table, options.columns.split(","))
    counts += f", without {len(runs) - len(done)} that are not done" if len(done) < len(runs) else ""
    content = write(table)
    if options.out is None:
        say(content.decode().rstrip("\n"))
        complain(counts)
    else:
        write_atomically(options.out, content)
        say(f"{options.out}: {counts}")


def _chosen(table: "pd.DataFrame", columns: list[str]) -> "pd.DataFrame":
    for name in columns:
        if name not in table:
            raise UserError(f"there is no column {name!r}", "--columns", did_you_mean(name, list(map(str, table))))
    return table[columns]


def _writer(out: Path, force: bool) -> "Writer":
    """Return how a file is written; refuse one that must not be."""
    if out.suffix not in WRITERS:
        raise UserError(
            f"no table is written as {out.suffix or out.name!r}", out, did_you_mean(out.suffix, list(WRITERS))
        )
    if not out.parent.is_dir():
        raise UserError("there is no such folder", out.parent, "make it, or choose another --out")
    if out.is_symlink() or (out.exists() and not out.is_file()):
        raise UserError("this is no file, and is not replaced", out, "choose another --out")
    if out.exists() and not force:
        raise UserError("this file exists", out, "add --force to replace it, or choose another --out")
    return WRITERS[out.suffix]


def _csv(table: "pd.DataFrame") -> bytes:
    return table.to_csv(index=False, lineterminator="\n").encode()


def _parquet(table: "pd.DataFrame") -> bytes:
    content = io.BytesIO()
    # A column of a file has one type; a key may be a number in one run and a word in another.
    mixed = [name for name in table if len({isinstance(one, str) for one in table[name].dropna()}) > 1]
    try:
        table.astype(dict.fromkeys(mixed, str)).to_parquet(content, index=False)
    except ImportError as error:
        raise UserError("parquet needs pyarrow", "--out", "pip install pyarrow, or write a .csv") from error
    return content.getvalue()


def _latex(table: "pd.DataFrame") -> bytes:
    from scaleinv.report.latex import latex_table

    return latex_table(table).encode()


Writer = Callable[["pd.DataFrame"], bytes]
WRITERS: dict[str, Writer] = {".csv": _csv, ".parquet": _parquet, ".tex": _latex}
