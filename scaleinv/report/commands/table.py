"""Tabulate the best values: rows and columns are keys of your choice, a cell is a mean over seeds.

Where a cell has several learning rates, or values of another axis that is neither row nor column, the one with the
fewest diverged seeds and then the best mean is taken, chosen on the same seeds. Runs that differ in any other key are
never put into one cell.
"""

import argparse
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scaleinv.report.commands._selection import add_selection, require, require_done, select
from scaleinv.report.commands._text import aligned, columns
from scaleinv.report.keys import as_text, headings
from scaleinv.runs.errors import UserError
from scaleinv.runs.outcomes import say
from scaleinv.runs.records import load_records

if TYPE_CHECKING:
    import pandas as pd

METHOD, TASK = "method", "task.name"
FORMATS = ("text", "markdown", "latex", "csv")
# A cell of the table for people: its text, and whether it is the best of its column.
Cell = tuple[str, bool]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``scaleinv-runs table``."""
    add_selection(parser)
    parser.add_argument("--rows", default="lr", metavar="KEY,KEY", help="keys of the rows (default: lr)")
    parser.add_argument("--columns", default=METHOD, metavar="KEY,KEY", help="keys of the columns (default: method)")
    parser.add_argument("--measure", default="val_loss", metavar="COLUMN", help="what is shown (default: val_loss)")
    parser.add_argument("--format", default="text", choices=FORMATS, help="csv has a line per cell")


def run(options: argparse.Namespace) -> None:
    """Print the table."""
    from scaleinv.report.best_cells import best_cells, column_meant

    runs = select(options.words, options.results)
    require(runs, options.results)
    sweeps = [one for one in runs if one.settings.get(TASK) == "sweep"]
    if not sweeps:
        raise UserError("there are no sweeps among these runs", options.results, "scaleinv-runs ls task=sweep")
    records = load_records(*(one.path for one in require_done(sweeps, options.results)), keys=None)
    rows, across = ([column_meant(key, records) for key in text.split(",")] for text in (options.rows, options.columns))
    keys = [*rows, *across]
    cells = best_cells(records, keys, options.measure)
    if options.format == "csv":
        say(cells.to_csv(index=False).rstrip("\n"))
        return
    head, lines = _table(cells, rows, across, is_loss=options.measure.endswith("_loss"))
    notes = _notes(cells, keys, options.measure)
    say(
        "\n".join(
            {"text": _text, "markdown": _markdown, "latex": _latex}[options.format](head, lines, notes, len(rows))
        )
    )


def _table(
    cells: "pd.DataFrame", rows: Sequence[str], across: Sequence[str], is_loss: bool
) -> tuple[list[str], list[list[Cell]]]:
    """Return the headings, and per row its labels and its cells; a cell that nothing was trained for is empty."""
    downwards = _in_order(cells, rows)
    sideways = _in_order(cells, across)
    found = {(label(one, rows), label(one, across)): one for one in cells.to_dict("records")}
    words = headings([*rows, *across])
    named = [", ".join(_named(words[key], value) for key, value in zip(across, one, strict=True)) for one in sideways]
    head = [*(words[key] for key in rows), *named]
    best = {}
    for column in sideways:
        ranks = {
            row: (one["diverged"], one["mean"] if is_loss else -one["mean"])
            for row in downwards
            if (one := found.get((row, column))) is not None and one["diverged"] < one["n"]
        }
        best[column] = min(ranks, key=ranks.__getitem__) if len(ranks) > 1 else None
    lines = []
    for row in downwards:
        texts = [(_cell(found[row, one]), row == best[one]) if (row, one) in found else ("", False) for one in sideways]
        lines.append([*((text, False) for text in row), *texts])
    return head, lines


def label(line: Mapping[Hashable, Any], keys: Sequence[str]) -> tuple[str, ...]:
    """Return the values of keys as text; empty where a run lacks the key."""
    return tuple(as_text(line[key]) if line[key] == line[key] else "" for key in keys)


def _in_order(cells: "pd.DataFrame", keys: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the labels, numbers by size, words as they come."""
    ordered = cells
    for key in reversed(keys):
        if ordered[key].dtype.kind in "if":
            ordered = ordered.sort_values(key, kind="stable")
    return list(dict.fromkeys(label(one, keys) for one in ordered.to_dict("records")))


def _named(key: str, value: str) -> str:
    return (
        f"{key} {value}" if value.replace(".", "").replace("-", "").replace("e", "").isdigit() else value or f"no {key}"
    )


def _cell(line: Mapping[Hashable, Any]) -> str:
    if line["diverged"] == line["n"]:
        return "diverged"
    spread = f" ± {line['std']:.2g}" if line["std"] == line["std"] else ""
    lost = f" ({line['diverged']} of {line['n']} diverged)" if line["diverged"] else ""
    return f"{line['mean']:.4g}{spread}{lost}"


def _notes(cells: "pd.DataFrame", keys: Sequence[str], measure: str) -> list[str]:
    low, high = cells["n"].min(), cells["n"].max()
    count = f"{low}" if low == high else f"{low} to {high}"
    notes = [f"{measure} of each member's best epoch: mean ± standard deviation, n = {count} seeds"]
    columns = [str(name) for name in cells]
    if over := [name for name in columns[: columns.index("mean")] if name not in (*keys, METHOD)]:
        notes.append(f"best over {', '.join(over)}, chosen on the same seeds (--format csv lists what was chosen)")
    if METHOD not in keys:
        notes.append(f"methods: {'; '.join(dict.fromkeys(cells[METHOD]))}")
    return notes


def _text(head: list[str], lines: list[list[Cell]], notes: list[str], labels: int) -> list[str]:
    """Write for a terminal; columns that have no room go below."""
    texts = [[f"{text}*" if is_best else text for text, is_best in line] for line in lines]
    room, first = columns(), labels
    out: list[str] = []
    while first < len(head):
        last = len(head)
        while (part := aligned([[*one[:labels], *one[first:last]] for one in [head, *texts]])) and last > first + 1:
            if room is None or max(map(len, part)) <= room:
                break
            last -= 1
        out += [*part, ""]
        first = last
    return [*out, *notes, "* the best of its column"]


def _markdown(head: list[str], lines: list[list[Cell]], notes: list[str], labels: int) -> list[str]:
    rows = [[f"**{text}**" if is_best else text for text, is_best in line] for line in lines]
    ruled = [head, ["-"] * len(head), *rows]
    return [*(f"| {' | '.join(row)} |" for row in ruled), "", "; ".join(notes)]


def _latex(head: list[str], lines: list[list[Cell]], notes: list[str], labels: int) -> list[str]:
    import pandas as pd

    from scaleinv.report.latex import latex_table

    table = latex_table(pd.DataFrame([[text for text, _ in line] for line in lines], columns=head))
    return [*(f"% {note}" for note in notes), table.replace("±", r"$\pm$").rstrip("\n")]
