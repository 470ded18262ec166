"""Hand the rows of a run's CSV to a tracker, each once, whenever the run is killed."""

import csv
import io
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from scaleinv.runs.config import AXES, Config, leaves
from scaleinv.runs.folder import RunFolder, write_atomically
from scaleinv.runs.progress import note
from scaleinv.trackers import TrackedMember, TrackedRun
from scaleinv.trackers.base import FAILED, FINISHED, INTERRUPTED

EPOCH = "epoch"
# The one column after the epoch that is no number.
STATUS = "status"


class Tracking:
    """The rows of one run on their way to its tracker.

    They are read from ``metrics.csv`` after a checkpoint, as a resumed run takes back the rows behind its checkpoint.
    ``tracker.json`` holds the last epoch that each member's tracker has, and is written after the rows. Killed between
    the two, the next process offers these rows again, and the tracker leaves out those that it has.

    An error of the tracker is a note, once: training goes on, and the next start of the same command sends the rest.
    """

    def __init__(self, config: Config, folder: RunFolder, columns: Mapping[str, str]) -> None:
        """Read how far an earlier process came.

        Args:
            config: configuration of the run.
            folder: its records.
            columns: column of every axis by its key.
        """
        self._tracker, self._folder, self._epochs = config.tracker, folder, config.epochs
        self._is_on = config.tracker.is_on
        self._options = config.resolved["tracker"]
        self._keys = {column: key for key, column in columns.items()}
        plain = {key: value for key, value in leaves(config.resolved) if not key.startswith("tracker.")}
        self._config = {key: value for key, value in plain.items() if key not in AXES}
        self._tags = tuple(dict.fromkeys((config.name, config.resolved["task"]["name"], *config.labels.values())))
        self._open: dict[str, TrackedRun] = {}
        self._offset = 0
        before = self._read() if self._is_on else {}
        self._is_resumed = bool(before)
        # The time keeps a run that is trained again apart from what the tracker has of its earlier life.
        begun = f"{config.run_id}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
        self._group: str = before.get("group", begun)
        self._epoch: dict[str, int] = before.get("epochs", {})

    def __enter__(self) -> Self:
        """Send what an earlier process wrote and did not send."""
        self.catch_up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close the runs that are still open."""
        ending = FINISHED if kind is None else FAILED if issubclass(kind, Exception) else INTERRUPTED
        self._try(lambda: self._close(ending))

    def catch_up(self) -> None:
        """Send the rows that the tracker lacks; all rows of ``metrics.csv`` must be there to stay."""
        self._try(self._send)

    def rewind(self, offset: int) -> None:
        """Read again from a length of ``metrics.csv``, to which the file was cut."""
        self._offset = min(self._offset, offset)

    def _send(self) -> None:
        sent = False
        for head, row in self._rows():
            record = dict(zip(head, row, strict=True))
            axes = {column: record[column] for column in head if column in self._keys and record[column]}
            name = ",".join(f"{column}={number}" for column, number in axes.items())
            epoch = int(record[EPOCH])
            if epoch <= self._epoch.get(name, -1):
                continue
            if name not in self._open:
                self._open[name] = self._tracker.open(self._member(name, axes))
            measured = head[head.index(EPOCH) + 1 :]
            numbers = {column: float(record[column]) for column in measured if column != STATUS and record[column]}
            self._open[name].write(epoch, numbers)
            self._epoch[name], sent = epoch, True
            if epoch == self._epochs:
                self._open.pop(name).close(FINISHED)
        for run in self._open.values():
            run.flush()
        if sent:
            self._write()

    def _close(self, ending: str) -> None:
        for name in list(self._open):
            self._open.pop(name).close(ending)

    def _rows(self) -> Iterator[tuple[list[str], list[str]]]:
        """Yield the head of ``metrics.csv`` and each row from the offset on, which moves to the end."""
        with self._folder.metrics.open("rb") as file:
            first = file.readline()
            file.seek(max(self._offset, len(first)))
            content = file.read()
            self._offset = file.tell()
        (head,) = csv.reader([first.decode()])
        for row in csv.reader(io.StringIO(content.decode())):
            yield head, row

    def _member(self, name: str, axes: Mapping[str, str]) -> TrackedMember:
        numbers = {self._keys[column]: float(text) for column, text in axes.items()}
        config = {**self._config, **numbers}
        return TrackedMember(name, self._group, numbers, config, self._tags, self._is_resumed)

    def _try(self, action: Callable[[], None]) -> None:
        """Do something with the tracker; an error is a note, and the tracker is left alone from there on."""
        if not self._is_on:
            return
        try:
            action()
        except Exception as error:
            self._is_on = False
            first = (str(error).strip() or "no message").splitlines()[0]
            note(
                f"the tracker stopped, training goes on: {type(error).__name__}: {first}"
                " (once the run is done, the same command sends the rest)"
            )

    def _read(self) -> dict[str, Any]:
        """Return what an earlier process noted of this tracker; nothing if it had another one."""
        with suppress(OSError, ValueError):
            before = json.loads(self._folder.tracker.read_text())
            if before["tracker"] == self._options:
                return before
        return {}

    def _write(self) -> None:
        noted = {"tracker": self._options, "group": self._group, "epochs": self._epoch}
        write_atomically(self._folder.tracker, json.dumps(noted).encode())
