"""What a person wants to know of a run at a glance, read from its folder and changing nothing. No torch, no pandas."""

import csv
import io
import json
import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from scaleinv.report.keys import as_text
from scaleinv.runs.config import AXES, FORMERLY, identity
from scaleinv.runs.folder import COMPRESSED, DamagedError, RunFolder, metrics_file
from scaleinv.runs.records import find_runs, read_config

DONE, RUNNING, STOPPED, FAILED, DAMAGED = "done", "running", "stopped", "failed", "damaged"
STATES = (DONE, RUNNING, STOPPED, FAILED, DAMAGED)
# Columns of an accuracy; any other measure is a loss, of which less is better.
ACCURACY = "_accuracy"


@dataclass
class Run:
    """A run folder, whatever state it is in.

    Attributes:
        path: the folder.
    """

    path: Path
    _best: dict[str, dict[str, str] | None] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """Name of the folder: readable words, then a hash."""
        return self.path.name

    @cached_property
    def folder(self) -> RunFolder:
        """The records."""
        return RunFolder(self.path)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The manifest; empty if it is damaged."""
        try:
            return self.folder.manifest
        except DamagedError:
            return {}

    @cached_property
    def resolved(self) -> dict[str, Any]:
        """Every key with its value; empty if the configuration is damaged."""
        try:
            return read_config(self.path)
        except DamagedError:
            return {}

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The keys that can change the result; those that came after the run with the value that it had."""
        try:
            own = identity(self.resolved)
        except (TypeError, KeyError, AttributeError):  # plain YAML, but not a configuration
            return {}
        return {**FORMERLY, **own} if own else {}

    @cached_property
    def state(self) -> str:
        """One of ``STATES``. Stopped: interrupted or killed, so that the same command goes on."""
        status = self.manifest.get("status")
        if not self.settings or status is None:
            return DAMAGED
        if status in (DONE, FAILED):
            return str(status)
        return RUNNING if self.folder.is_locked else STOPPED

    @cached_property
    def ended(self) -> datetime | None:
        """When the run ended, or when it last wrote; None for published records that do not say."""
        if (text := self.manifest.get("ended")) is not None:
            with suppress(ValueError, TypeError):
                return datetime.fromisoformat(text)
        metrics = metrics_file(self.path)
        if metrics.suffix in COMPRESSED:
            return None
        written = [path.stat().st_mtime for path in (metrics, self.path / "manifest.json") if path.exists()]
        return datetime.fromtimestamp(max(written), UTC) if written else None

    @cached_property
    def seconds(self) -> float | None:
        """Seconds that the run took, or has trained so far."""
        if (whole := self.manifest.get("wall_seconds")) is not None:
            return float(whole)
        with suppress(OSError, ValueError, TypeError, KeyError):
            with self.folder.timing.open(newline="") as file:
                rows = list(csv.DictReader(file))
            return sum(float(row["train_seconds"]) + float(row["eval_seconds"]) for row in rows) if rows else None
        return None

    def best(self, measure: str = "val_loss") -> dict[str, str] | None:
        """Find the best row of the members that have not diverged, from epoch 1 on.

        Args:
            measure: column of a loss, of which the lowest is best, or of an accuracy, of which the highest is.

        Returns:
            The row, as text by column; None if there is none.

        Raises:
            DamagedError: the records are not what the run wrote.
        """
        if measure not in self._best:
            self._best[measure] = self._find_best(measure)
        return self._best[measure]

    def _find_best(self, measure: str) -> dict[str, str] | None:
        rows = list(csv.reader(io.StringIO(self._metrics().decode())))
        if not rows or not {"epoch", measure} <= set(rows[0]):
            return None
        head, *rows = rows
        at, epoch = head.index(measure), head.index("epoch")
        status = head.index("status") if "status" in head else None
        diverged = {tuple(row[:epoch]) for row in rows if status is not None and row[status] == "diverged"}
        sign = -1 if measure.endswith(ACCURACY) else 1
        best, lowest = None, math.inf
        for row in rows:
            value = sign * float(row[at] or "nan")
            if value < lowest and float(row[epoch]) > 0 and tuple(row[:epoch]) not in diverged:
                best, lowest = row, value
        return None if best is None else dict(zip(head, best, strict=True))

    def _metrics(self) -> bytes:
        if self.state == DONE:
            return self.folder.read_metrics()
        with suppress(OSError):
            content = self.folder.metrics.read_bytes()
            return content[: content.rfind(b"\n") + 1]
        return b""


def runs_below(*paths: Path) -> list[Run]:
    """List the runs at and below ``paths``; folders that another program made are left out.

    Raises:
        MissingError: a path does not exist.
    """
    return [Run(path) for path in find_runs(*paths) if _is_ours(path)]


def _is_ours(path: Path) -> bool:
    try:
        entries = json.loads((path / "manifest.json").read_bytes())
    except (OSError, ValueError, RecursionError):  # damaged; the command beside it is ours
        return (path / "command.txt").exists()
    return isinstance(entries, dict) and "manifest_version" in entries


def differing(runs: Iterable[Run]) -> list[str]:
    """List the keys whose values differ between runs: choices first, then axes, then the others.

    An option of a choice (``space.skeleton``) is compared among the runs with the same choice.
    """
    values: dict[str, dict[object, set[str]]] = {}
    for run in runs:
        for key, value in run.settings.items():
            group, _, option = key.rpartition(".")
            choice = run.settings.get(f"{group}.name") if group and option != "name" else None
            values.setdefault(key, {}).setdefault(str(choice), set()).add(as_text(value))
    keys = [key for key in values if any(len(texts) > 1 for texts in values[key].values())]
    return sorted(keys, key=lambda key: (not key.endswith(".name"), key not in AXES))
