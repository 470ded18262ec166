"""Records of runs: a folder each, written so that no moment of death loses or doubles a row. Knows no torch.

``results/<name>/<run id>/`` holds ``config.yaml``, ``command.txt``, ``manifest.json``, ``metrics.csv`` (a function
of the configuration alone), ``timing.csv``, while a run is unfinished ``checkpoint.bin`` and the one before it, and
after a failure ``error.txt``.
"""

import csv
import hashlib
import io
import json
import os
import platform
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from omegaconf import OmegaConf

from scaleinv.runs.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

MANIFEST_VERSION = 1
# Which runs belong to which experiment of a study.
INDEX = "index.json"


class BusyError(UserError):
    """Another process is writing the same run."""


class MissingError(UserError):
    """Records that are needed have not been made; how to make them is in ``how``."""


class DamagedError(UserError):
    """Records on disk are not what was written."""


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file so that it is at all times either the old one or the new one, also after a power cut."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def csv_lines(rows: Iterable[Sequence[Any]]) -> bytes:
    """Write rows as CSV; floats in the fewest digits that read back the same, None as nothing."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


@dataclass(frozen=True)
class Checkpoint:
    """The state of an unfinished run.

    Attributes:
        payload: opaque; whoever wrote it reads it.
        csv_bytes: length of the part of ``metrics.csv`` that belongs to it.
        csv_sha256: checksum of that part, whatever the order of its lines.
    """

    payload: bytes
    csv_bytes: int
    csv_sha256: str


class RunFolder:
    """The records of one run."""

    def __init__(self, path: Path) -> None:
        """Point at ``path``; nothing is touched."""
        self.path = path
        self.metrics = path / "metrics.csv"
        self.timing = path / "timing.csv"
        self._checkpoint = path / "checkpoint.bin"
        self._previous = path / "checkpoint.previous.bin"

    @property
    def manifest(self) -> dict[str, Any]:
        """Return the manifest, or ``{}`` if there is none."""
        try:
            return json.loads((self.path / "manifest.json").read_text())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise DamagedError(
                "the manifest is not JSON", self.path / "manifest.json", "start with rerun=true"
            ) from error

    @property
    def is_done(self) -> bool:
        """Whether the run has finished."""
        return self.manifest.get("status") == "done"

    def update_manifest(self, **entries: Any) -> None:
        """Set entries of the manifest."""
        merged = {"manifest_version": MANIFEST_VERSION, **self.manifest, **entries}
        write_atomically(self.path / "manifest.json", (json.dumps(merged, indent=2) + "\n").encode())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process; the kernel lets go when the process ends, however it ends.

        Raises:
            BusyError: another process has it; the message says which.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        owner = self.path / "lock.json"
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            who = json.loads(owner.read_text()) if owner.exists() else {}
            raise BusyError(
                f"process {who.get('pid', '?')} on {who.get('host', '?')} is writing this run",
                self.path,
                "wait for it, or stop it",
            ) from error
        try:
            owner.write_text(json.dumps({"pid": os.getpid(), "host": platform.node()}))
            yield
        finally:
            owner.unlink(missing_ok=True)
            lock.release()

    def clear(self) -> None:
        """Remove all records of the run, the lock excepted."""
        for entry in self.path.iterdir():
            if entry.name in (".lock", "lock.json"):
                continue
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def write_config(self, resolved: Mapping[str, Any], command: str) -> None:
        """Write down what is run."""
        write_atomically(self.path / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(dict(resolved))).encode())
        write_atomically(self.path / "command.txt", (command + "\n").encode())

    def append(self, path: Path, rows: Iterable[Sequence[Any]]) -> None:
        """Append rows to one of the CSVs and push them to the disk."""
        with path.open("ab") as file:
            file.write(csv_lines(rows))
            file.flush()
            os.fsync(file.fileno())

    def save_checkpoint(self, payload: bytes) -> None:
        """Keep ``payload`` as the state that belongs to ``metrics.csv`` as it is now; keep the one before too."""
        written = self.metrics.read_bytes()
        head = json.dumps({"csv_bytes": len(written), "csv_sha256": _checksum(written)}).encode()
        body = head + b"\n" + payload
        part = self.path / "checkpoint.part"
        with part.open("wb") as file:
            file.write(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
            file.flush()
            os.fsync(file.fileno())
        if self._checkpoint.exists():
            self._checkpoint.replace(self._previous)
        part.replace(self._checkpoint)
        sync_folder(self.path)

    def load_checkpoint(self) -> Checkpoint | None:
        """Return the last checkpoint that is intact, after cutting ``metrics.csv`` back to it; None if there is none.

        Raises:
            DamagedError: the part of ``metrics.csv`` that the checkpoint belongs to was changed.
        """
        for path in (self._checkpoint, self._previous):
            if (found := self._read_checkpoint(path)) is None:
                continue
            written = self.metrics.read_bytes() if self.metrics.exists() else b""
            kept = written[: found.csv_bytes]
            if _checksum(kept) != found.csv_sha256:
                raise DamagedError(
                    f"metrics.csv was changed after its checkpoint: {len(written)} bytes, not {found.csv_bytes}",
                    self.metrics,
                    "put it back, or start again with rerun=true",
                )
            if len(kept) < len(written):
                os.truncate(self.metrics, len(kept))
            return found
        return None

    def _read_checkpoint(self, path: Path) -> Checkpoint | None:
        try:
            checksum, body = path.read_bytes().split(b"\n", 1)
        except (FileNotFoundError, ValueError):
            return None
        if hashlib.sha256(body).hexdigest().encode() != checksum:
            return None
        head, payload = body.split(b"\n", 1)
        return Checkpoint(payload, **json.loads(head))

    def finish(self, key: Sequence[str], **entries: Any) -> int:
        """Sort ``metrics.csv`` by the columns ``key``, mark the run done, drop its checkpoints; return the rows.

        Sorting makes the file independent of how the members were cut into stacks. It can be repeated: a run that
        dies in here ends the same way on its next start.
        """
        head, *rows = csv.reader(io.StringIO(self.metrics.read_text()))
        columns = [head.index(name) for name in key]
        rows.sort(key=lambda row: [_sortable(row[c]) for c in columns])
        write_atomically(self.metrics, csv_lines([head, *rows]))
        self.update_manifest(status="done", rows=len(rows), **entries)
        self._checkpoint.unlink(missing_ok=True)
        self._previous.unlink(missing_ok=True)
        (self.path / "error.txt").unlink(missing_ok=True)
        return len(rows)


def _sortable(field: str) -> tuple[float, str]:
    """Order numbers by size, then texts by letter; nothing comes first."""
    try:
        return (float(field or "-inf"), "")
    except ValueError:
        return (float("inf"), field)


def _checksum(written: bytes) -> str:
    """Hash the lines in sorted order, so that :meth:`RunFolder.finish` does not change it."""
    return hashlib.sha256(b"".join(sorted(written.splitlines(keepends=True)))).hexdigest()


def load_records(*paths: str | Path, keys: Sequence[str] = (), only_done: bool = True) -> "pd.DataFrame":
    """Read the metrics of any number of runs into one table.

    Args:
        paths: run folders, or folders above them (``results``, ``results/demo``).
        keys: dotted configuration keys to add as columns, e.g. ``optimizer.memory``; empty where a run lacks one.
        only_done: leave out runs that have not finished.

    Returns:
        One row per member and epoch, with the columns of ``metrics.csv`` and ``experiment``, ``run`` and ``keys``
        before them; sorted by path. Empty if there are no records.
    """
    return _read([folder for folder in find_runs(*paths) if not only_done or RunFolder(folder).is_done], keys)


def load_experiment(folder: str | Path, name: str, keys: Sequence[str] = ()) -> "pd.DataFrame":
    """Read the records of one experiment of a study into one table.

    Args:
        folder: with an ``index.json`` (``results/cpu``, say; ``python -m scaleinv.study`` writes it).
        name: of the experiment.
        keys: see :func:`load_records`.

    Returns:
        What :func:`load_records` returns.

    Raises:
        MissingError: the experiment is not in the index, or runs of it are not done; it says what makes them.
    """
    runs = experiment_runs(folder, name)
    missing = [run for run in runs if not RunFolder(run).is_done]
    if missing:
        command = read_index(folder)["experiments"][name]["command"]
        raise MissingError(f"{name}: {len(missing)} of {len(runs)} runs are not done", missing[0], command)
    return _read(runs, keys)


def read_index(folder: str | Path) -> dict[str, Any]:
    """Return which runs belong to which experiment, and the commands that make them.

    Raises:
        MissingError: the folder has no index.
    """
    path = Path(folder) / INDEX
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise MissingError("there is no index of a study", path, "python -m scaleinv.study --plan") from error


def experiment_runs(folder: str | Path, name: str) -> list[Path]:
    """Return the run folders of an experiment; raises as :func:`load_experiment` does."""
    listed = read_index(folder)["experiments"]
    if name not in listed:
        raise MissingError(
            f"the study has no experiment {name!r}", Path(folder) / INDEX, f"there are {', '.join(listed)}"
        )
    return [Path(folder) / run for run in listed[name]["runs"]]


def _read(folders: Iterable[Path], keys: Sequence[str]) -> "pd.DataFrame":
    import pandas as pd  # takes a second to import, which a run need not spend

    frames = []
    for folder in folders:
        frame = pd.read_csv(metrics_file(folder))
        resolved = OmegaConf.load(folder / "config.yaml") if keys else OmegaConf.create()
        added = {key: OmegaConf.select(resolved, key) for key in keys}
        labels = {"experiment": folder.parent.name, "run": folder.name, **added}
        for position, (name, value) in enumerate(labels.items()):
            frame.insert(position, name, [value] * len(frame))
        frames.append(frame)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def metrics_file(folder: Path) -> Path:
    """Return the metrics of a run, which a release keeps compressed."""
    plain = RunFolder(folder).metrics
    return plain if plain.exists() else plain.with_name(plain.name + ".gz")


def find_runs(*paths: str | Path) -> list[Path]:
    """List the run folders at and below ``paths``, sorted, each once."""
    found = {manifest.parent.resolve() for path in paths for manifest in Path(path).rglob("manifest.json")}
    return sorted(found)
