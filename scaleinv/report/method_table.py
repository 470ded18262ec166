"""Every method of the path metrics in one table: invariance defect, cost of a step, loss, sensitivity. No torch."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scaleinv.report.effects.intervals import Estimate, estimate_mean
from scaleinv.report.effects.rates import good_decades, good_level, own_best, sensitivity
from scaleinv.report.figures.invariance_table import EXPERIMENT, worst
from scaleinv.report.members import best_epochs
from scaleinv.report.methods import with_methods
from scaleinv.runs.records import MissingError, load_experiment

# Experiments with one budget, whose curves over learning rates are read; the first that has a method counts.
CURVES = ("gauges", "pathcond", "path_sgd")
METHOD = ["optimizer", "space", "gauge"]
STARTS = {"default": "as drawn", "balanced": "balanced", "pathcond": "PathCond"}
GAUGES = {"balance": "balanced", "enorm": "ENorm", "teleport": "teleported"}


def method_table(study: Path) -> pd.DataFrame:
    """Collect what the records of a study say about every optimizer in every space and gauge.

    Args:
        study: folder with an ``index.json``.

    Returns:
        One row per method: ``optimizer``, ``space``, ``gauge``; the largest defect by mode and whether it is exactly
        zero for powers of two; ``cost``; and, where a curve over learning rates was trained, estimates ``best``,
        ``sensitivity`` and ``width``.

    Raises:
        MissingError: there are no records of the defects.
    """
    defects = worst(load_experiment(study, EXPERIMENT, None))
    rows: dict[tuple[str, ...], dict[str, object]] = {}
    for row in defects.to_dict("records"):
        own = rows.setdefault(tuple(row[name] for name in METHOD), {"cost": row["cost"]})
        own[row["mode"]] = (row["random numbers"], row["powers of two"] == 0)
    for name in CURVES:
        try:
            records = load_experiment(study, name, None)
        except MissingError:
            continue
        for method, numbers in _curves(records):
            own = rows.setdefault(method, {})
            own.update({key: value for key, value in numbers.items() if key not in own})
    return pd.DataFrame([dict(zip(METHOD, method, strict=True)) | own for method, own in rows.items()])


def method_markdown(study: Path) -> str:
    """Write :func:`method_table` as Markdown, followed by what its columns mean.

    Raises:
        MissingError: there are no records of the defects.
    """
    table = method_table(study)
    modes = [str(name) for name in table if str(name).startswith(("once", "before"))]
    head = [*METHOD, *(f"defect, rescaled {mode}" for mode in modes), "step / SGD", "best loss", "sensitivity", "width"]
    lines = [f"| {' | '.join(head)} |", "|" + " - |" * len(head)]
    for row in table.to_dict("records"):
        cells = [*(str(row[name]) for name in METHOD), *(_defect(row.get(mode)) for mode in modes)]
        cells.append("" if pd.isna(row.get("cost", np.nan)) else f"{row['cost']:.2f}")
        cells += [_estimate(row.get(name)) for name in ("best", "sensitivity", "width")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _curves(records: pd.DataFrame) -> Iterator[tuple[tuple[str, ...], dict[str, Estimate]]]:
    """Measure every method of an experiment over its grid of learning rates."""
    named = with_methods(records)
    named["gauge"] = [_gauge(row) for row in named.reindex(columns=_KEYS).to_dict("records")]
    named = named[named["gauge"] != ""]
    chance = float(named[named["epoch"] == 0].groupby("method")["val_loss"].median().min())
    best = best_epochs(named, extra=["optimizer_name", "space_name", "gauge"])
    for (optimizer, space, gauge), rows in best.groupby(["optimizer_name", "space_name", "gauge"], sort=False):
        losses = rows.pivot_table(index="seed", columns="lr", values="val_loss", aggfunc="first", dropna=False)
        if losses.shape[1] < 2:
            continue
        own = own_best(losses)
        yield (
            (str(optimizer), str(space), str(gauge)),
            {
                "best": estimate_mean(own.to_numpy()),
                "sensitivity": estimate_mean(sensitivity(losses, chance, "cells").to_numpy()),
                "width": estimate_mean(good_decades(losses, good_level(own, 1.0), chance).to_numpy()),
            },
        )


_KEYS = ["start.name", "start.sigma", "gauge.name", "gauge.every", "gauge.until"]


def _gauge(row: Mapping[Any, Any]) -> str:
    """Name the gauge of a run, at its start and later; empty for one that the table does not show."""
    start = "default" if row["start.name"] == "rescaled" and row["start.sigma"] == 0 else row["start.name"]
    if row["gauge.name"] not in GAUGES:
        return STARTS.get(start, "")
    every, until = int(row["gauge.every"]), int(row["gauge.until"])
    turns = "every step" if every == 1 else f"every {every} steps"
    end = f" before step {until}" if until else ""
    return f"{GAUGES[row['gauge.name']]} {turns}{end}" if start == "default" else ""


def _defect(value: object) -> str:
    if not isinstance(value, tuple):
        return ""
    size, is_exact = value
    return f"{size:.0e}{', exact' if is_exact else ''}" if np.isfinite(size) else "diverges"


def _estimate(value: object) -> str:
    if not isinstance(value, Estimate):
        return ""
    return f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}], n = {value.n}"
