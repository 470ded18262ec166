"""Show one run: state, what differs from the defaults, axes, best member, files, and commands."""

import argparse
import shlex
from pathlib import Path
from typing import Any

from scaleinv.report import figures
from scaleinv.report.commands._run import ACCURACY, DAMAGED, DONE, FAILED, STOPPED, Run
from scaleinv.report.commands._selection import add_selection, select_one
from scaleinv.report.commands._text import aligned, duration, moment, size
from scaleinv.report.keys import as_text
from scaleinv.runs.config import AXES, CHOICES, leaves
from scaleinv.runs.defaults import defaults
from scaleinv.runs.folder import DamagedError, RunFolder
from scaleinv.runs.outcomes import say
from scaleinv.runs.records import INDEX, read_config

# Keys that say where the records are, which the folder does too.
PLACES = ("name", "results")
# First columns of every sweep, which the heading and the differences say.
LABELS = ("dataset", "network", "space", "optimizer")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``scaleinv-runs show``."""
    parser.add_argument("name", metavar="RUN", help="name of a run, its beginning or that of its hash, or its folder")
    add_selection(parser, many=False)
    parser.add_argument("--measure", default="val_loss", metavar="COLUMN", help="what best is of (default: val_loss)")


def run(options: argparse.Namespace) -> None:
    """Print what is known of a run."""
    say("\n".join(description(select_one(options.name, options.results), options.measure)))


def description(one: Run, measure: str = "val_loss") -> list[str]:
    """Return the lines that describe a run.

    Raises:
        DamagedError: the manifest or the configuration is not what a run writes.
    """
    if one.state == DAMAGED:
        raise _damage(one.path)
    took = duration(one.seconds)
    lines = [f"{one.name}: " + ", ".join(text for text in (one.state, moment(one.ended), took) if text)]
    lines += _section("records", [[_here(one.path)]])
    lines += _section("differs from the defaults", _differences(one.resolved))
    lines += _section("axes", _axes(one))
    lines += _section("best", _best(one, measure))
    lines += _section("made by", _machine(one.manifest))
    lines += _section("files", _files(one.path))
    lines += _section(
        "to repeat" if one.state == DONE else "to go on" if one.state == STOPPED else "command", _command(one)
    )
    if one.state == FAILED:
        lines += _section("failed", _error(one.path))
    return lines + (_section("to draw", _drawings(one)) if one.state == DONE else [])


def _damage(path: Path) -> DamagedError:
    """Return what is wrong with a folder that cannot be read."""
    try:
        RunFolder(path).manifest  # noqa: B018
        read_config(path)
    except DamagedError as error:
        return error
    return DamagedError("the records are incomplete", path, "the run's command makes them again, with rerun=true")


def _section(title: str, rows: list[list[str]]) -> list[str]:
    return ["", title, *(f"  {line}" for line in aligned(rows))] if rows else []


def _differences(resolved: dict[str, Any]) -> list[list[str]]:
    """Return key, value and default of what a run was told; options are compared with those of its own choices."""
    plain = dict(leaves(defaults()))
    own = dict(leaves(defaults({group: resolved[group]["name"] for group in CHOICES if group in resolved})))
    rows = []
    for key, value in leaves(resolved):
        is_choice = key.endswith(".name")
        usual = plain.get(key) if is_choice else own.get(key)
        if key not in PLACES and key not in AXES and _plain(value) != _plain(usual):
            known = is_choice or key in own
            rows.append([key, as_text(value) or "none", f"(default: {as_text(usual) or 'none'})" if known else ""])
    return rows


def _plain(value: Any) -> Any:
    """Write numbers uniformly: a single number is a list of one."""
    return as_text(value[0] if isinstance(value, list) and len(value) == 1 else value)


def _axes(one: Run) -> list[list[str]]:
    rows = []
    for key in dict.fromkeys([*one.manifest.get("axes", {}), *AXES]):
        value = one.settings.get(key)
        if isinstance(value, list) and value != [None]:
            rows.append([key, as_text(value)])
    return rows


def _best(one: Run, measure: str) -> list[list[str]]:
    row = one.best(measure)
    if row is None:
        return []
    place = list(row)[: list(row).index("epoch") + 1]
    where = ", ".join(f"{name} {row[name]}" for name in place if row[name] and name not in LABELS)
    counts = [f"{one.manifest[key]} {key}" for key in ("members", "diverged") if key in one.manifest]
    beside = measure.removesuffix("_loss") + ACCURACY
    more = f", {beside} {float(row[beside]):.4g}" if row.get(beside) and beside != measure else ""
    return [[f"{measure} {float(row[measure]):.4g}{more} at {where}"], *([[", ".join(counts)]] if counts else [])]


def _machine(manifest: dict[str, Any]) -> list[list[str]]:
    versions, git = manifest.get("versions", {}), manifest.get("git")
    if not versions:
        return []
    commit = f" ({git['commit'][:7]}{', changed' * bool(git['dirty'])})" if git else ""
    software = f"scaleinv {versions.get('scaleinv', '?')}{commit}, torch {versions.get('torch', '?')}"
    return [[f"{manifest.get('device_name', '?')}, {manifest.get('threads', '?')} threads"], [software]]


def _files(path: Path) -> list[list[str]]:
    files = sorted(one for one in path.rglob("*") if one.is_file())
    return [[one.relative_to(path).as_posix(), size(one.stat().st_size)] for one in files]


def _command(one: Run) -> list[list[str]]:
    path = one.path / "command.txt"
    return [[line] for line in path.read_text().splitlines()] if path.is_file() else []


def _error(path: Path) -> list[list[str]]:
    error = path / "error.txt"
    lines = error.read_text().strip().splitlines() if error.is_file() else []
    return [[lines[-1]], [f"traceback: {_here(error)}"]] if lines else []


def _drawings(one: Run) -> list[list[str]]:
    """Return the commands of the figures of any sweep, and of the run's experiment."""
    words = [word.partition("=") for line in _command(one) for word in shlex.split(line[0])]
    experiment = next((value for key, _, value in words if key == "experiment"), None)
    # A study's folder has an index of the runs of every experiment.
    folder = _here(one.path.parent if experiment and (one.path.parent / INDEX).is_file() else one.path)
    drawn = [("loss_vs_lr", _here(one.path))] if one.settings.get("task.name") == "sweep" else []
    drawn += [(name, folder) for name in (_figures(experiment) if experiment else [])]
    return [[f"python -m scaleinv.report.figures {name} {shlex.quote(at)} --out {name}"] for name, at in drawn]


def _figures(experiment: str) -> list[str]:
    """Return the figures of an experiment; read, because importing all of them takes seconds."""
    files = sorted(Path(figures.__path__[0]).glob("*.py"))
    return [file.stem for file in files if f'\nEXPERIMENT = "{experiment}"\n' in file.read_text()]


def _here(path: Path) -> str:
    """Return a path relative to the working directory, if it is below that."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
