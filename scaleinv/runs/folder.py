"""The folder of one run, written so that no moment of death loses or doubles a row. Knows no torch.

``results/<name>/<run id>/`` holds ``config.yaml``, ``command.txt``, ``manifest.json``, ``metrics.csv`` (a function
of the configuration alone), ``timing.csv``, while a run is unfinished ``checkpoint.bin`` and the one before it, and
after a failure ``error.txt``. Nothing else in it is ever touched, and nothing is written through a symbolic link.
"""

import csv
import gzip
import hashlib
import io
import json
import os
import platform
import secrets
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import OmegaConf

from scaleinv.runs.errors import UserError

MANIFEST_VERSION = 1
# The manifest comes first, so that a run whose removal is cut short is not taken for a finished one.
FILES = (
    *("manifest.json", "config.yaml", "command.txt", "metrics.csv", "timing.csv"),
    *("checkpoint.bin", "checkpoint.previous.bin", "checkpoint.part"),
    *("weights.safetensors", "arrays.safetensors", "error.txt"),
)
# Tensors beside the CSV: ``<kind>.safetensors``, until a run ends a folder ``<kind>`` with the parts of its stacks.
KINDS = WEIGHTS, ARRAYS = ("weights", "arrays")
LOCKS = (".lock", "lock.json")


class BusyError(UserError):
    """Another process is writing the same run."""


class DamagedError(UserError):
    """Records on disk are not what was written."""


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file so that it is at all times either the old one or the new one, also after a power cut.

    The new file is written beside the old one under a name that nobody has; a symbolic link is replaced, not followed.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
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
        """Return the manifest, or ``{}`` if there is none.

        Raises:
            DamagedError: it is not a manifest, or one of another version of this program.
        """
        path = self.path / "manifest.json"
        try:
            found = json.loads(path.read_text())
        except FileNotFoundError:
            return {}
        except (ValueError, RecursionError) as error:
            raise DamagedError("the manifest is not JSON", path, "start with rerun=true") from error
        version = found.get("manifest_version") if isinstance(found, dict) else None
        if version != MANIFEST_VERSION:
            raise DamagedError(
                f"the manifest has version {version}, this program reads {MANIFEST_VERSION}",
                path,
                "use the version of scaleinv that wrote it, or train again with rerun=true",
            )
        return found

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
            DamagedError: the folder, or a file in it that a run writes, is a symbolic link.
        """
        for path in (self.path, *(self.path / name for name in (*FILES, *LOCKS, *KINDS))):
            if path.is_symlink():
                raise DamagedError("records are not written through a symbolic link", path, "remove the link")
        self.path.mkdir(parents=True, exist_ok=True)
        owner = self.path / "lock.json"
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            try:
                who = json.loads(owner.read_text())
            except (OSError, ValueError):  # its owner is just writing it
                who = {}
            raise BusyError(
                f"process {who.get('pid', '?')} on {who.get('host', '?')} is writing this run",
                self.path,
                "wait for it, or stop it",
            ) from error
        try:
            owner.write_text(json.dumps({"pid": os.getpid(), "host": platform.node()}))
            yield
        finally:
            with suppress(OSError):  # a disk that became read-only
                owner.unlink(missing_ok=True)
            lock.release()

    def clear(self) -> None:
        """Remove the files that a run writes, the lock excepted; whatever else lies in the folder stays."""
        for name in FILES:
            (self.path / name).unlink(missing_ok=True)
        for kind in KINDS:
            self.forget(kind)

    def whole(self, kind: str) -> Path:
        """Return where the tensors of all members stand when the run has ended."""
        return self.path / f"{kind}.safetensors"

    def parts(self, kind: str) -> list[Path]:
        """List the files of the stacks that are finished, in the order of the members."""
        return sorted((self.path / kind).glob("*.safetensors"))

    def write_part(self, kind: str, name: str, content: bytes) -> None:
        """Write the tensors of one stack."""
        (self.path / kind).mkdir(exist_ok=True)
        write_atomically(self.path / kind / f"{name}.safetensors", content)

    def join(self, kind: str, content: bytes) -> None:
        """Write the tensors of all members, and remove the parts."""
        write_atomically(self.whole(kind), content)
        self._remove_parts(kind)

    def forget(self, kind: str) -> None:
        """Remove the tensors of an earlier attempt at the same run."""
        self.whole(kind).unlink(missing_ok=True)
        self._remove_parts(kind)

    def _remove_parts(self, kind: str) -> None:
        for part in self.parts(kind):
            part.unlink()
        with suppress(OSError):  # it is not there, or holds what we did not write
            (self.path / kind).rmdir()

    def write_config(self, resolved: Mapping[str, Any], command: str) -> None:
        """Write down what is run."""
        write_atomically(self.path / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(dict(resolved))).encode())
        write_atomically(self.path / "command.txt", (command + "\n").encode())

    def read_metrics(self) -> bytes:
        """Return the metrics of a finished run, which a release keeps compressed.

        Raises:
            DamagedError: they are gone, or are not what the run wrote.
        """
        path, manifest = metrics_file(self.path), self.manifest
        mend = "put it back, or train again with rerun=true"
        try:
            content = path.read_bytes()
            if path.suffix == ".gz":
                content = gzip.decompress(content)
        except FileNotFoundError as error:
            raise DamagedError("the run is marked as done, but its metrics are gone", path, mend) from error
        except (OSError, EOFError, zlib.error) as error:
            raise DamagedError(f"the metrics cannot be read: {error}", path, mend) from error
        rows = content.count(b"\n") - 1
        if rows != manifest.get("rows", rows):
            raise DamagedError(
                f"the metrics were changed: they have {rows} rows, the run wrote {manifest['rows']}", path, mend
            )
        # Manifests before this entry was written vouch for the number of rows alone.
        wanted = manifest.get("metrics_sha256")
        if wanted is not None and hashlib.sha256(content).hexdigest() != wanted:
            raise DamagedError("the metrics were changed: their checksum is not that of the run", path, mend)
        return content

    @property
    def is_begun(self) -> bool:
        """Whether an unfinished run has a checkpoint to go on from."""
        return self._checkpoint.exists() or self._previous.exists()

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
        content = csv_lines([head, *rows])
        write_atomically(self.metrics, content)
        self.update_manifest(
            status="done", rows=len(rows), metrics_sha256=hashlib.sha256(content).hexdigest(), **entries
        )
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


def metrics_file(folder: Path) -> Path:
    """Return the path of a run's metrics, which a release keeps compressed."""
    plain = folder / "metrics.csv"
    compressed = folder / "metrics.csv.gz"
    return compressed if compressed.exists() and not plain.exists() else plain
