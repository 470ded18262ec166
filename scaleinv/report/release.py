"""Publish a study: its records, figures and claims as one small folder, and compare a re-run with it. No torch.

A release has ``<profile>/`` (index and runs, metrics compressed), ``figures/``, ``claims.csv`` and ``claims.md``,
``release.json`` (machines, versions, wall time), ``README.md`` and ``index.html``.
"""

import gzip
import html
import json
from collections.abc import Iterator
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
from scaleinv.runs.errors import UserError
from scaleinv.runs.folder import RunFolder, write_atomically
from scaleinv.runs.records import INDEX, experiment_runs, load_experiment, read_config, read_index

# Version of what a release holds; tests compare a release of this version with what this code makes of its records.
FORMAT = 2
# Files of a run that a release keeps.
RELEASED = ("config.yaml", "command.txt", "manifest.json", "metrics.csv.gz")
# The first one identifies a release, so that the others may be replaced.
PAGES = ("release.json", "README.md", "index.html")


class IncompleteError(UserError):
    """A study that cannot be published yet."""


def publish(study: Path, out: Path) -> dict[str, Any]:
    """Copy a finished study into a release, draw its figures, judge its claims, and write the pages.

    Args:
        study: folder with an ``index.json``.
        out: folder of the release; an earlier release of this profile in it is replaced.

    Returns:
        The contents of ``release.json``.

    Raises:
        IncompleteError: runs are missing (nothing is written), or a figure or claim could not be made.
        ForeignError: a file that no release wrote stands in the way; nothing is written.
    """
    index = read_index(study)
    missing = [
        f"{name} ({index['experiments'][name]['command']})"
        for name in index["experiments"]
        if not all(RunFolder(run).is_done for run in experiment_runs(study, name))
    ]
    if missing:
        raise IncompleteError(f"{len(missing)} experiments are incomplete: {'; '.join(missing)}", study)
    folder = out / index["profile"]
    if folder.resolve() == study.resolve():
        raise ForeignError("a release cannot be published onto itself", folder, "choose another --out")
    is_release = _is_release(out / "release.json")
    for page_name in (*PAGES, "claims.csv", "claims.md"):
        refuse_foreign(out / page_name, is_ours=lambda _: is_release)
    stale = _released_runs(folder)
    runs = {run.name: run for name in index["experiments"] for run in experiment_runs(study, name)}
    for run in runs.values():  # check all of them before anything is removed
        RunFolder(run).read_metrics()
        read_config(run)
    for run in stale:
        for name in RELEASED:
            (run / name).unlink(missing_ok=True)
        run.rmdir()
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / INDEX, (study / INDEX).read_bytes())
    for run in runs.values():
        _copy(run, folder / run.name)
    problems = draw_all(
        folder, out / "figures", f"python -m scaleinv.report.figures all {folder} --out {out / 'figures'}"
    )
    if problems:
        raise IncompleteError("; ".join(problems), folder)
    table = judge_all(folder)
    summary = _account(folder, index)
    contents = (json.dumps(summary, indent=2) + "\n", readme(summary), page(summary, table, out))
    for page_name, content in zip(PAGES, contents, strict=True):
        write_atomically(out / page_name, content.encode())
    write_claims(table, out / "claims")
    return summary


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
    return folder.is_dir() and {entry.name for entry in folder.iterdir()} <= set(RELEASED)


def _copy(run: Path, target: Path) -> None:
    """Copy a run's records; the metrics are compressed without a date, so that the bytes are reproducible."""
    target.mkdir()
    for name in RELEASED[:-1]:
        write_atomically(target / name, (run / name).read_bytes())
    write_atomically(target / RELEASED[-1], gzip.compress(RunFolder(run).read_metrics(), mtime=0))


def _account(folder: Path, index: dict[str, Any]) -> dict[str, Any]:
    """Summarise machines, versions, seconds and replicates, per experiment and in total."""
    experiments = {}
    for name, entry in index["experiments"].items():
        manifests = [RunFolder(run).manifest for run in experiment_runs(folder, name)]
        records = load_experiment(folder, name)
        experiments[name] = {
            "command": entry["command"],
            "figures": [figure for figure, module in known_figures().items() if name == module.EXPERIMENT],
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
        "experiments": experiments,
    }


def readme(told: dict[str, Any]) -> str:
    """Write the release's README: machine and versions, then command, n and wall time of each experiment."""
    lines = [
        "# Released results",
        "",
        f"Profile `{told['profile']}`: {told['runs']} runs, {told['members']} networks,"
        f" {told['wall_seconds'] / 60:.0f} minutes of training on {', '.join(told['devices'])}"
        f" ({', '.join(map(str, told['threads']))} threads), torch {told['versions']['torch']}.",
        "Runs that several experiments share were trained once, so the times below add up to more.",
        "Open `index.html` for all figures and claims on one page.",
        "`make figures` draws the figures again, bit for bit;",
        f"`make reproduce-figures PROFILE={told['profile']}` trains everything again.",
        "",
        "| experiment | figures | command | seeds | epochs | runs | networks | training (s) |",
        "| - | - | - | - | - | - | - | - |",
    ]
    for name, entry in told["experiments"].items():
        figures = ", ".join(f"[{figure}](figures/{figure}.png)" for figure in entry["figures"]) or "claims only"
        numbers = (entry["seeds"], entry["epochs"], entry["runs"], entry["members"], f"{entry['wall_seconds']:.0f}")
        lines.append(f"| {name} | {figures} | `{entry['command']}` | {' | '.join(map(str, numbers))} |")
    return "\n".join(lines) + "\n"


def page(told: dict[str, Any], table: pd.DataFrame, out: Path) -> str:
    """Write one HTML page with all figures and claims, which loads nothing from the network."""
    style = (
        "body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}img{max-width:100%}"
        "table{border-collapse:collapse;font-size:13px}figcaption{font-size:13px;color:#444}code{background:#f4f4f4}"
        "td,th{border-bottom:1px solid #ddd;padding:3px 8px;text-align:left;vertical-align:top}"
        ".confirmed{color:#00704f}.refuted{color:#b34700}.undecided,.measured{color:#666}"
    )
    body = "".join(_sections(told, table, out))
    head = f"<meta charset=utf-8><title>scaleinv: released results</title><style>{style}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{body}</body></html>\n"


def _sections(told: dict[str, Any], table: pd.DataFrame, out: Path) -> Iterator[str]:
    yield (
        f"<h1>scaleinv: released results</h1><p>Profile {told['profile']}: {told['runs']} runs, {told['members']}"
        f" networks, {told['wall_seconds'] / 60:.0f} minutes on {html.escape(', '.join(told['devices']))}, torch"
        f" {html.escape(str(told['versions']['torch']))}. Data:"
        f" <a href={told['profile']}/>runs</a>, <a href=claims.csv>claims.csv</a>,"
        " <a href=release.json>release.json</a>.</p><h2>Claims</h2><table><tr><th>claim<th>case<th>verdict<th>effect"
        " [95 % interval]<th>n<th>of</tr>"
    )
    before = ""
    for row in table.to_dict("records"):
        quote = f"“{html.escape(str(row['quote']))}” ({row['source']})" if row["claim"] != before else ""
        before = row["claim"]
        yield (
            f"<tr><td>{quote}<td>{html.escape(row['case'])}<td class={row['verdict']}>{row['verdict']}"
            f"<td>{row['effect']:.3g} [{row['low']:.3g}, {row['high']:.3g}]<td>{row['n']}"
            f"<td>{html.escape(row['measures'])}</tr>"
        )
    yield "</table><h2>Figures</h2>"
    for entry in told["experiments"].values():
        for figure in entry["figures"]:
            caption = json.loads((out / "figures" / f"{figure}.json").read_text())["caption"]
            links = ", ".join(
                f"<a href=figures/{figure}.{ending}>{ending}</a>" for ending in ("pdf", "png", "csv", "json")
            )
            yield (
                f"<figure id={figure}><h3>{figure}</h3><img src=figures/{figure}.png alt='{html.escape(figure)}'>"
                f"<figcaption>{html.escape(caption)} {links}; <code>{html.escape(entry['command'])}</code></figcaption>"
                "</figure>"
            )


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
