"""List runs, one line each: its name, what differs between the runs, its best value, state, when it ended, how long."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from scaleinv.report.commands._run import Run, differing
from scaleinv.report.commands._selection import add_selection, key_meant, require, select
from scaleinv.report.commands._text import aligned, columns, duration, moment
from scaleinv.report.keys import as_text, headings
from scaleinv.runs.folder import DamagedError
from scaleinv.runs.outcomes import say

# Longest value of a key where the table is too wide for the terminal; a longer list is shown by its ends.
LONGEST = 14
# Least number of characters of a run's hash, where its name is shortened to that.
HASH = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``scaleinv-runs ls``."""
    add_selection(parser)
    parser.add_argument("--sort", default="run", metavar="KEY", help="run, best, state, when, took, or a key")
    parser.add_argument("--reverse", action="store_true", help="sort the other way round")
    parser.add_argument("--last", type=int, metavar="N", help="only the last N")
    parser.add_argument("--measure", default="val_loss", metavar="COLUMN", help="what best is of (default: val_loss)")
    parser.add_argument("--names", action="store_true", help="only names, for scripts")


def run(options: argparse.Namespace) -> None:
    """Print the list."""
    runs = select(options.words, options.results)
    require(runs, options.results)
    runs = ordered(runs, options.sort, options.reverse, options.measure)[-options.last if options.last else 0 :]
    lines = [one.name for one in runs] if options.names else listing(runs, options.measure, columns())
    say("\n".join(lines))


def ordered(runs: Sequence[Run], sort: str, reverse: bool = False, measure: str = "val_loss") -> list[Run]:
    """Sort runs by a column of the list; those without a value come last."""
    own = {
        "run": lambda one: one.path.as_posix(),
        "best": lambda one: _best(one, measure),
        "state": lambda one: one.state,
        "when": lambda one: one.ended and one.ended.timestamp(),
        "took": lambda one: one.seconds,
    }
    if sort in own:
        values = {one.path: own[sort](one) for one in runs}
    else:
        key = key_meant(sort, runs, also=tuple(own))
        values = {one.path: _first(one.settings.get(key)) for one in runs}
    there = [one for one in runs if values[one.path] is not None]
    is_number = all(isinstance(values[one.path], int | float) for one in there)
    there.sort(key=lambda one: values[one.path] if is_number else str(values[one.path]), reverse=reverse)
    return [*there, *(one for one in runs if values[one.path] is None)]


def listing(runs: Sequence[Run], measure: str = "val_loss", width: int | None = None) -> list[str]:
    """Return the lines of the list.

    Args:
        runs: the runs.
        measure: column of ``metrics.csv`` that the best value is of.
        width: characters to keep to. Names are then shortened to their hashes, long values to their ends, and the last
            keys left out, with a line that names them. None shortens nothing.
    """
    keys = differing(runs)
    heads = headings(keys)
    ending = ["best" if measure == "val_loss" else f"best {measure}", "state", "when", "took"]
    endings = [[_best_text(one, measure), one.state, moment(one.ended), duration(one.seconds)] for one in runs]

    def table(names: Sequence[str], kept: Sequence[str], longest: int) -> list[str]:
        rows = [["run", *(heads[key] for key in kept), *ending]]
        for one, name, end in zip(runs, names, endings, strict=True):
            rows.append([name, *(_shortened(as_text(one.settings.get(key)), longest) for key in kept), *end])
        return aligned(rows, right=(len(kept) + 1, len(kept) + 4))

    lines, left = table(_paths(runs), keys, 10**9), 0
    while width is not None and max(map(len, lines)) > width and left <= len(keys):
        lines = table(_hashes(runs), keys[: len(keys) - left], LONGEST)
        left += 1
    if left > 1:
        lines.append(f"without room: {', '.join(heads[key] for key in keys[len(keys) - left + 1 :])} (| cat shows all)")
    return lines


def _best(one: Run, measure: str) -> float | None:
    try:
        row = one.best(measure)
    except DamagedError:
        return None
    return None if row is None else float(row[measure])


def _best_text(one: Run, measure: str) -> str:
    try:
        row = one.best(measure)
    except DamagedError:
        return "changed"
    return "" if row is None else f"{float(row[measure]):.4g}"


def _first(value: object) -> object:
    """Return what a value is sorted by: of a list, its first element."""
    value = value[0] if isinstance(value, list) and value else value
    return value if value is None or isinstance(value, int | float) else as_text(value)


def _paths(runs: Sequence[Run]) -> list[str]:
    """Return the runs' paths below the folder that has them all."""
    top = Path(os.path.commonpath([one.path.parent for one in runs]))
    return [one.path.relative_to(top).as_posix() for one in runs]


def _hashes(runs: Sequence[Run]) -> list[str]:
    """Return beginnings of the hashes that tell the runs apart; ``show`` and the others take them."""
    hashes = [one.name.rpartition("-")[2] for one in runs]
    unique = len(set(hashes))
    longest = max(map(len, hashes))
    length = next((n for n in range(HASH, longest) if len({one[:n] for one in hashes}) == unique), longest)
    return [one[:length] for one in hashes]


def _shortened(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    words = text.split(",")
    return (
        f"{words[0]}..{words[-1]} ({len(words)})" if len(words) > 2 and "[" not in text else f"{text[: longest - 2]}.."
    )
