"""From the words of a command to runs: names, folders and conditions. No torch, no pandas."""

import argparse
import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from scaleinv.report.commands._run import DONE, Run, runs_below
from scaleinv.report.keys import as_text, word
from scaleinv.runs.errors import UserError
from scaleinv.runs.records import MissingError
from scaleinv.runs.suggestions import did_you_mean

CONDITION = re.compile(r"([\w.]+)(!?=)(.*)", re.DOTALL)
# Keys of a condition that are not in the configuration.
OWN_KEYS = ("state", "run", "experiment")


def add_selection(parser: argparse.ArgumentParser, many: bool = True) -> None:
    """Add the arguments that choose runs.

    Args:
        parser: parser of a command.
        many: whether it takes any number of words.
    """
    if many:
        parser.add_argument(
            "words",
            nargs="*",
            metavar="RUN|FOLDER|KEY=VALUE",
            help="a run (name, beginning or end of it, pattern 'mnist-*'), a folder, or a condition such as "
            "space=weight,gspace or state!=done; all runs if none is given",
        )
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="FOLDER", help="where runs are (default: results)"
    )


def select(words: Sequence[str], results: Path) -> list[Run]:
    """Return the runs that the words mean, sorted by path, each once.

    Args:
        words: names of runs, folders, and conditions, all of which must hold.
        results: folder of all runs, in which names are looked up.

    Raises:
        UserError: a word means nothing, or several runs.
    """
    conditions = [match for one in words if (match := CONDITION.fullmatch(one)) and not Path(one).exists()]
    named = [one for one in words if Path(one).exists() or not CONDITION.fullmatch(one)]
    folders = [path for one in named for path in (Path(one), results / one) if path.is_dir()]
    names = [one for one in named if not any(path.is_dir() for path in (Path(one), results / one))]
    runs = runs_below(*dict.fromkeys(folders)) if folders else []
    if names or not named:
        everything = runs_below(results)
        chosen = [run for one in names for run in _by_name(one, everything, results)] if named else everything
        runs = list({run.path: run for run in (*runs, *chosen)}.values())
    for match in conditions:
        key, sign, values = match.groups()
        if runs and key not in OWN_KEYS:
            key = key_meant(key, runs, OWN_KEYS)
        runs = [run for run in runs if _holds(run, key, values) == (sign == "=")]
    return sorted(runs, key=lambda run: run.path)


def select_one(name: str, results: Path) -> Run:
    """Return the run that a word means.

    Raises:
        UserError: it means none, or several.
    """
    runs = select([name], results)
    if len(runs) != 1:
        what = f"{name!r} means {len(runs)} runs" if runs else f"there are no runs in {name!r}"
        raise UserError(what, _listed(run.name for run in runs), "name one")
    return runs[0]


def key_meant(key: str, runs: Sequence[Run], also: Sequence[str] = ()) -> str:
    """Return the configuration key that a word means: itself, the name of a choice, or the one with that last word.

    Raises:
        UserError: it means none, or several; ``also`` are further words that would have been understood.
    """
    known = list(dict.fromkeys(one for run in runs for one in run.settings))
    meant = [one for one in known if one in (key, f"{key}.name")] or [one for one in known if word(one) == key]
    if len(meant) > 1:
        raise UserError(f"{key} may mean {', '.join(meant)}", key, "write it in full")
    if not meant:
        raise UserError(
            f"the runs have no key {key}",
            key,
            did_you_mean(key, list(dict.fromkeys([*also, *map(word, known), *known]))),
        )
    return meant[0]


def require(runs: Sequence[Run], results: Path) -> None:
    """Refuse an empty selection."""
    if not runs:
        raise MissingError("no run is selected", results, "scaleinv-runs ls shows what there is")


def require_done(runs: Sequence[Run], results: Path) -> list[Run]:
    """Return the runs that are done; refuse if there are none."""
    done = [run for run in runs if run.state == DONE]
    if not done:
        raise MissingError("none of these runs is done", results, "scaleinv-runs ls shows their states")
    return done


def _by_name(name: str, runs: Sequence[Run], results: Path) -> list[Run]:
    """Return the runs whose name matches a pattern, or the one that is called, begins or ends so."""
    if any(character in name for character in "*?["):
        matches = [run for run in runs if fnmatchcase(run.name, name) or fnmatchcase(_below(run, results), name)]
    else:
        name = name.rstrip("/")
        matches = [run for run in runs if name in (run.name, _below(run, results))]
        matches = matches or [run for run in runs if run.name.startswith(name) or _hash(run).startswith(name)]
        if len(matches) > 1:
            pattern = f"name one, or write '{name}*' for all of them"
            raise UserError(f"{name!r} means {len(matches)} runs", _listed(run.name for run in matches), pattern)
    if not matches:
        beginnings = sorted({run.name.rpartition("-")[0] or run.name for run in runs})
        hint = did_you_mean(name, beginnings) if runs else "scaleinv-run makes them"
        raise MissingError(f"there is no run {name!r}", results, hint)
    return matches


def _below(run: Run, results: Path) -> str:
    """Return a run's path below the results folder."""
    resolved = results.resolve()
    return run.path.relative_to(resolved).as_posix() if run.path.is_relative_to(resolved) else run.name


def _hash(run: Run) -> str:
    return run.name.rpartition("-")[2]


def _listed(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:4]) + (f" and {len(listed) - 4} more" if len(listed) > 4 else "")


def _holds(run: Run, key: str, values: str) -> bool:
    """Whether a run has one of the values; a list has each of its numbers, a choice the name of its preset too."""
    if key in OWN_KEYS:
        own = [{"state": run.state, "run": run.name, "experiment": run.path.parent.name}[key]]
    else:
        value = run.settings.get(key)
        own = [as_text(value), *(as_text(one) for one in (value if isinstance(value, list) else []))]
        if (preset := run.manifest.get("choices", {}).get(key.removesuffix(".name"))) is not None:
            own.append(preset)
    return any(_same(one, other) for one in own for other in [values, *values.split(",")])


def _same(one: str, other: str) -> bool:
    try:
        return float(one) == float(other)
    except ValueError:
        return one == other
