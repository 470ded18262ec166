"""Draw figures from records.

    python -m scaleinv.report.figures loss_vs_lr results/demo --out results/demo/loss_vs_lr
    python -m scaleinv.report.figures all results/release/cpu --out results/release/figures

The second command draws every figure of a study; where records are missing, it prints the command that makes them.
"""

import argparse
import shlex
import sys
from collections.abc import Collection
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace

from scaleinv.report.figures.style import save, styled
from scaleinv.runs.errors import UserError
from scaleinv.runs.folder import metrics_file
from scaleinv.runs.installed import installed
from scaleinv.runs.records import (
    INDEX,
    MissingError,
    done_runs,
    experiment_runs,
    load_experiment,
    load_records,
    read_index,
)
from scaleinv.runs.registry import load, modules, outside
from scaleinv.runs.suggestions import did_you_mean

ALL = "all"


PACKAGE = "scaleinv.report.figures"


def known_figures() -> dict[str, ModuleType]:
    """Return the modules of this folder that draw a figure from records, by name."""
    own = {name: import_module(f"{PACKAGE}.{name}") for name in sorted(modules(PACKAGE)) if name != "__main__"}
    return {name: module for name, module in own.items() if hasattr(module, "EXPERIMENT") or draws_study(module)}


def figure_named(name: str) -> ModuleType | SimpleNamespace:
    """Return what draws a figure: a module of this folder, or a user's own function from records to a ``Drawing``.

    Args:
        name: name of a module or of an entry point, or ``package.module:function``.

    Raises:
        UserError: there is none.
    """
    try:
        point = outside(PACKAGE, name)
        draw = load(point) if point else None
    except (LookupError, TypeError) as error:
        raise UserError(str(error.args[0]), name, "name a function: package.module:function") from error
    if point is None:
        known = known_figures()
        if name not in known:
            raise UserError(f"there is no figure {name!r}", name, did_you_mean(name, [*known, *installed(PACKAGE)]))
        return known[name]
    if not callable(draw):
        raise UserError(f"{name} is no function", name, "it takes a table of records and returns a Drawing")
    return SimpleNamespace(draw=styled(draw), EXPERIMENT=None)


def draws_study(module: ModuleType | SimpleNamespace) -> bool:
    """Whether a figure is drawn from a study as a whole, by ``draw_study``, and not from one experiment."""
    return hasattr(module, "draw_study")


def draw_one(name: str, folders: list[Path], stem: Path, command: str) -> list[Path]:
    """Draw a figure from the runs in some folders, or from the runs of its experiment in the folder of a study.

    Raises:
        MissingError: some or all records are missing.
    """
    module = figure_named(name)
    if draws_study(module):
        drawing, inputs = module.draw_study(folders[0])
        return save(drawing, stem, inputs, command)
    if module.EXPERIMENT is not None and (folders[0] / INDEX).exists():
        records = load_experiment(folders[0], module.EXPERIMENT, None)
        runs = experiment_runs(folders[0], module.EXPERIMENT)
    else:
        records, runs = load_records(*folders, keys=None), done_runs(*folders)
    if records.empty:
        raise MissingError(
            "there are no finished runs", " ".join(map(str, folders)), "run scaleinv-run first; see the README"
        )
    return save(module.draw(records), stem, [metrics_file(run) for run in runs], command)


def draw_all(folder: Path, out: Path, command: str, only: Collection[str] = ()) -> list[str]:
    """Draw every figure of a study into the folder ``out``; experiments that came after the study are left out.

    Args:
        folder: folder of the study.
        out: folder of the figures.
        command: command that the figures name.
        only: experiments whose figures are drawn; all, and those of the study as a whole, if empty.

    Returns:
        One message per figure that could not be drawn.

    Raises:
        MissingError: the folder holds no study.
    """
    planned = read_index(folder)["experiments"]
    problems = []
    for name, module in known_figures().items():
        if bool(only) if draws_study(module) else module.EXPERIMENT not in (only or planned):
            continue
        try:
            draw_one(name, [folder], out / name, command)
            print(out / f"{name}.png", flush=True)
        except UserError as error:
            if not draws_study(module):  # the others need experiments, or a benchmark, that a study may lack
                problems.append(str(error))
            print(f"not drawn: {name}\n{error}", file=sys.stderr, flush=True)
    return problems


def main() -> None:
    """Parse the command, load the records, draw, save."""
    known = [*known_figures(), *installed(PACKAGE), "package.module:function"]
    parser = argparse.ArgumentParser(prog="python -m scaleinv.report.figures", description=__doc__.splitlines()[0])
    parser.add_argument("figure", help=f"{ALL}, or one of {', '.join(known)}")
    parser.add_argument("records", nargs="+", type=Path, help="run folders, or folders above them; a study's folder")
    parser.add_argument(
        "--out", type=Path, required=True, help="path of the picture without its ending; a folder for all"
    )
    options = parser.parse_args()
    command = shlex.join(["python", "-m", "scaleinv.report.figures", *sys.argv[1:]])
    try:
        if options.figure == ALL:
            problems = draw_all(options.records[0], options.out, command)
            sys.exit(f"{len(problems)} figures not drawn" if problems else 0)
        print(*draw_one(options.figure, options.records, options.out, command), sep="\n")
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
