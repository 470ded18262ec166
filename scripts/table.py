"""Print best losses of finished runs as a Markdown table: ``python scripts/table.py results/runs [--dataset mnist]``.

One row per learning rate, one column per method: mean and standard deviation over seeds of the best validation loss
over the epochs; the lowest of a column is bold. Settings that differ between the runs are in the names of the columns.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

from scaleinv.report.figures.curves import describe_seeds
from scaleinv.report.members import best_epochs
from scaleinv.report.methods import with_methods
from scaleinv.runs.errors import UserError
from scaleinv.runs.folder import RunFolder
from scaleinv.runs.records import done_runs, load_records


def columns(best: pd.DataFrame) -> pd.DataFrame:
    """Return the cells of one data set: learning rates x methods, empty where nothing was trained."""
    by = best.groupby(["lr", "method"], sort=False)["val_loss"]
    cells = by.agg(["mean", "std"]).reset_index()
    lowest = cells.groupby("method")["mean"].transform("min")
    spread = cells["std"].map(lambda std: "" if pd.isna(std) else f" ± {std:.4f}")
    cells["text"] = cells["mean"].map("{:.4f}".format) + spread
    cells["text"] = cells["text"].where(cells["mean"] != lowest, "**" + cells["text"] + "**")
    order = list(dict.fromkeys(best["method"]))
    return cells.pivot(index="lr", columns="method", values="text").reindex(columns=order).fillna("")


def table(folders: list[Path], dataset: str | None) -> str:
    """Return the tables of all data sets, or of one, followed by n, times and machines.

    Raises:
        UserError: there is nothing to show.
    """
    records = load_records(*folders, keys=None)
    records = records[records["epoch"].notna()] if "epoch" in records else pd.DataFrame()
    if records.empty:
        raise UserError("there are no finished sweeps", " ".join(map(str, folders)), "run scaleinv-run first")
    there = list(dict.fromkeys(records["dataset"]))
    if dataset is not None and dataset not in there:
        raise UserError(f"there are no records of {dataset}", "--dataset", f"there are {', '.join(there)}")
    best = best_epochs(with_methods(records), extra=["method", "run"])
    lines = []
    for name in there if dataset is None else [dataset]:
        cells = columns(best[best["dataset"] == name])
        lines += [f"| {name}, learning rate | {' | '.join(cells)} |", f"| - |{' - |' * cells.shape[1]}"]
        lines += [f"| {lr:g} | {' | '.join(row)} |" for lr, row in zip(cells.index, cells.to_numpy(), strict=True)]
    shown = best if dataset is None else best[best["dataset"] == dataset]
    runs = set(shown["run"])
    manifests = [RunFolder(run).manifest for run in done_runs(*folders) if run.name in runs]
    seconds = ", ".join(f"{manifest['wall_seconds']:.1f}" for manifest in manifests)
    machines = dict.fromkeys(
        f"{m['device_name']},\n{m['threads']} threads, torch {m['versions']['torch']}" for m in manifests
    )
    return "\n".join([*lines, "", f"n = {describe_seeds(shown)}; seconds a cell: {seconds}; {'; '.join(machines)}"])


def main() -> None:
    """Parse the command, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("records", nargs="+", type=Path, help="run folders, or folders above them")
    parser.add_argument("--dataset", help="show the runs of one data set only")
    options = parser.parse_args()
    try:
        print(table(options.records, options.dataset))
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
