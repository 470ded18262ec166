"""Publish a study: its records, figures and claims as one small folder, and compare a re-run with it. No torch.

A release has ``<profile>/`` (index and runs, metrics compressed), ``figures/``, ``claims.csv`` and ``claims.md``,
``release.json`` (machines, versions, wall time), ``README.md`` and ``index.html``; a benchmark in ``bench/`` and the
records of the check of rescaling in ``scale_check/`` beside them are drawn again.
"""

import json
import lzma
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scaleinv.report.claim_tables import write_claims
from scaleinv.report.figures.__main__ import draw_all, known_figures
from scaleinv.report.judging import judge_all
from scaleinv.report.members import best_epochs, member_columns
from scaleinv.report.output import ForeignError, refuse_foreign
from scaleinv.report.page import page, readme
from scaleinv.runs.errors import UserError
from scaleinv.runs.folder import RunFolder, write_atomically
from scaleinv.runs.records import INDEX, experiment_runs, load_experiment, read_config, read_index

# Version of what a release holds; tests compare a release of this version with what this code makes of its records.
FORMAT = 2
# Files of a run that a release keeps.
RELEASED = ("config.yaml", "command.txt", "manifest.json", "metrics.csv.xz")
# The same in releases of format 1.
FORMERLY = ("metrics.csv.gz",)
# The first one identifies a release, so that the others may be replaced.
PAGES = ("release.json", "README.md", "index.html")


class IncompleteError(UserError):
    """A study that cannot be published yet."""


def publish(study: Path, out: Path, partial: bool = False) -> dict[str, Any]:
    """Copy a finished study into a release, draw its figures, judge its claims, and write the pages.

    Args:
        study: folder with an ``index.json``.
        out: folder of the release; an earlier release of this profile in it is replaced.
        partial: whether to publish although runs are missing. Of an experiment that is not finished on a data set, the
            runs that the earlier release has for it stay; if it has none, that part is left out.

    Returns:
        The contents of ``release.json``.

    Raises:
        IncompleteError: runs are missing (nothing is written), or a figure or claim could not be made.
        ForeignError: a file that no release wrote stands in the way; nothing is written.
    """
    index = read_index(study)
    folder = out / index["profile"]
    experiments, missing = _choose_runs(study, folder)
    if missing and not partial:
        raise IncompleteError(f"{len(missing)} experiments are incomplete: {'; '.join(missing)}", study)
    if folder.resolve() == study.resolve():
        raise ForeignError("a release cannot be published onto itself", folder, "choose another --out")
    is_release = _is_release(out / "release.json")
    for page_name in (*PAGES, "claims.csv", "claims.md"):
        refuse_foreign(out / page_name, is_ours=lambda _: is_release)
    stale = _released_runs(folder)
    runs = {run.name: run for chosen in experiments.values() for run in chosen}
    contents = {name: _contents(run) for name, run in runs.items()}  # check all of them before anything is removed
    for run in stale:
        for name in (*RELEASED, *FORMERLY):
            (run / name).unlink(missing_ok=True)
        run.rmdir()
    folder.mkdir(parents=True, exist_ok=True)
    commands = {name: index["experiments"][name]["command"] for name in experiments}
    listed = {
        name: {"command": commands[name], "runs": [run.name for run in chosen]} for name, chosen in experiments.items()
    }
    text = json.dumps({"profile": index["profile"], "experiments": listed}, indent=1) + "\n"
    write_atomically(folder / INDEX, text.encode())
    for name, files in contents.items():
        (folder / name).mkdir()
        for file, content in files.items():
            write_atomically(folder / name / file, content)
    problems = draw_all(
        folder, out / "figures", f"python -m scaleinv.report.figures all {folder} --out {out / 'figures'}"
    )
    if problems:
        raise IncompleteError("; ".join(problems), folder)
    table = judge_all(folder)
    summary = _account(folder, read_index(folder), missing)
    pages = (json.dumps(summary, indent=2) + "\n", readme(summary), page(summary, table, out))
    for page_name, words in zip(PAGES, pages, strict=True):
        write_atomically(out / page_name, words.encode())
    write_claims(table, out / "claims")
    return summary


def _choose_runs(study: Path, released: Path) -> tuple[dict[str, list[Path]], dict[str, str]]:
    """Choose the runs of each experiment: those of the study, or where some are missing, those of a release.

    The runs of an experiment on one data set come from one of the two. Returns them by experiment, and for each
    experiment that the study lacks runs of, the command that makes them.
    """
    index = read_index(study)["experiments"]
    earlier = read_index(released)["experiments"] if (released / INDEX).exists() else {}
    chosen: dict[str, list[Path]] = {}
    missing: dict[str, str] = {}
    for name, entry in index.items():
        # The name of a run begins with its data set, or with its task.
        parts: dict[str, list[Path]] = {}
        for run in experiment_runs(study, name):
            same = released / run.name  # the same run, if the release has it
            where = same if not RunFolder(run).is_done and RunFolder(same).is_done else run
            parts.setdefault(run.name.partition("-")[0], []).append(where)
        for part, runs in parts.items():
            if not all(RunFolder(run).is_done for run in runs):
                missing[name] = f"{name} ({entry['command']})"
                old = [released / run for run in earlier.get(name, {}).get("runs", ())]
                runs = [run for run in old if run.name.partition("-")[0] == part]
            if runs:
                chosen.setdefault(name, []).extend(runs)
    return chosen, missing


def _is_release(account: Path) -> bool:
    """Whether a file is the ``release.json`` of a release."""
    try:
        return {"profile", "experiments"} <= set(json.loads(account.read_text()))
    except (OSError, ValueError, TypeError):
        return False


def _released_runs(folder: Path) -> list[Path]:
    """List the runs that an earlier release left in its folder.

    Raises:
        ForeignError: the folder holds anything else.
    """
    if not folder.exists() and not folder.is_symlink():
        return []
    entries = [entry for entry in folder.iterdir() if entry.name != INDEX] if folder.is_dir() else []
    is_ours = folder.is_dir() and not folder.is_symlink() and (folder / INDEX).is_file()
    foreign = [entry for entry in entries if entry.is_symlink() or not _is_released_run(entry)]
    if not is_ours or foreign:
        where = foreign[0] if is_ours else folder
        raise ForeignError("there is something here that no release wrote", where, "move it, or choose another --out")
    return entries


def _is_released_run(folder: Path) -> bool:
    return folder.is_dir() and {entry.name for entry in folder.iterdir()} <= {*RELEASED, *FORMERLY}


def _contents(run: Path) -> dict[str, bytes]:
    """Return the files of a run that a release keeps; the metrics are compressed, the same bytes every time."""
    metrics = RunFolder(run).read_metrics()
    read_config(run)
    return {name: (run / name).read_bytes() for name in RELEASED[:-1]} | {
        RELEASED[-1]: lzma.compress(metrics, preset=9)
    }


def _account(folder: Path, index: dict[str, Any], missing: Mapping[str, str]) -> dict[str, Any]:
    """Summarise machines, versions, seconds and replicates, per experiment and in total."""
    experiments = {}
    for name, entry in index["experiments"].items():
        manifests = [RunFolder(run).manifest for run in experiment_runs(folder, name)]
        records = load_experiment(folder, name)
        experiments[name] = {
            "command": entry["command"],
            "figures": [one for one, module in known_figures().items() if name == getattr(module, "EXPERIMENT", None)],
            "budgets": _budgets(records),
            "runs": len(manifests),
            "members": sum(manifest.get("members", 0) for manifest in manifests),
            "seeds": int(records["seed"].nunique()) if "seed" in records else 1,
            "epochs": int(records["epoch"].max()) if "epoch" in records else 0,
            "wall_seconds": round(sum(manifest.get("wall_seconds", 0.0) for manifest in manifests), 1),
            "devices": sorted({manifest["device_name"] for manifest in manifests}),
        }
    unique = {
        run.name: RunFolder(run).manifest for name in index["experiments"] for run in experiment_runs(folder, name)
    }
    manifests = list(unique.values())
    return {
        "format": FORMAT,
        "profile": index["profile"],
        "runs": len(manifests),
        "members": sum(manifest.get("members", 0) for manifest in manifests),
        "wall_seconds": round(sum(manifest.get("wall_seconds", 0.0) for manifest in manifests), 1),
        "devices": sorted({manifest["device_name"] for manifest in manifests}),
        "threads": sorted({manifest["threads"] for manifest in manifests}),
        "versions": manifests[0]["versions"],
        "drawn_with": f"matplotlib {version('matplotlib')}",
        "commits": sorted({manifest["git"]["commit"] for manifest in manifests if manifest.get("git")}),
        "incomplete": list(missing),
        "experiments": experiments,
    }


def _budgets(records: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Return the numbers of seeds and epochs by data set."""
    if not {"seed", "epoch", "dataset"} <= set(records):
        return {}
    groups = records.groupby("dataset", sort=False)
    return {str(name): {"seeds": int(own["seed"].nunique()), "epochs": int(own["epoch"].max())} for name, own in groups}


def departures(study: Path, released: Path) -> tuple[pd.DataFrame, int]:
    """Find where a re-run differs from a release by more than the spread over seeds.

    For every arm of a run (a learning rate, and a value of each other axis) the median over seeds of the best
    validation loss is compared; the spread is the range over the release's seeds. Only arms in both are compared.

    Returns:
        The rows that differ, and the number of rows compared.
    """
    rerun, release = read_index(study)["experiments"], read_index(released)["experiments"]
    departed, compared = [], 0
    for name in sorted(set(rerun) & set(release)):
        tables = []
        for folder in (study, released):
            records = load_experiment(folder, name)
            if not {"lr", "epoch"} <= set(records):  # not the curve of a training
                break
            best = best_epochs(records)
            arms = [*member_columns(best, without=["seed"]), "configuration"]
            grouped = best.groupby(arms, dropna=False)["val_loss"]
            tables.append(grouped.agg(["median", "min", "max"]))
        if len(tables) < 2:
            continue
        joined = tables[0].add_suffix("_new").join(tables[1].add_suffix("_old"), how="inner").reset_index()
        compared += len(joined)
        is_inside = (joined["median_new"] >= joined["min_old"]) & (joined["median_new"] <= joined["max_old"])
        spread = joined["max_old"] - joined["min_old"]
        with np.errstate(invalid="ignore"):
            is_near = (joined["median_new"] - joined["median_old"]).abs() <= spread
        departed.append(joined[~(is_inside | is_near)].assign(experiment=name))
    return (pd.concat(departed, ignore_index=True) if departed else pd.DataFrame()), compared
