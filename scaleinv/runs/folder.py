"""The folder of one run: a process killed at any moment neither loses nor doubles a row. Does not import torch.

``results/<name>/<run id>/`` holds ``config.yaml``, ``command.txt``, ``manifest.json``, ``metrics.csv`` (a function
of the configuration alone), ``timing.csv`` and, with a tracker, ``tracker.json``; while a run is unfinished, the last
two checkpoints; and after a failure ``error.txt``. Other files in it are never touched, and nothing is written through
a symbolic link.
"""

import csv
import gzip
import hashlib
import io
import json
import lzma
import os
import platform
import re
import secrets
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import OmegaConf

from scaleinv.runs.errors import UserError

MANIFEST_VERSION = 1
# The manifest is removed first, so that a half-removed run is not taken for a finished one.
FILES = (
    *("manifest.json", "config.yaml", "command.txt", "metrics.csv", "timing.csv"),
    *("checkpoint.bin", "checkpoint.previous.bin", "checkpoint.part"),
    *("weights.safetensors", "arrays.safetensors", "tracker.json", "error.txt"),
)
# Tensors beside the CSV: ``<kind>.safetensors``; until the run ends, a folder ``<kind>`` with one file per stack.
KINDS = WEIGHTS, ARRAYS = ("weights", "arrays")
# Endings of compressed metrics, as releases hold them -> how to read them.
COMPRESSED = {".xz": lzma.decompress, ".gz": gzip.decompress}
LOCKS = (".lock", "lock.json")
# What an atomic write leaves if it is killed, and the files in the folder of a kind, finished or not.
_PART = re.compile(r"\.(.+)\.[0-9a-f]{8}\.part")
_KIND = re.compile(r"\.safetensors(\.[0-9a-f]{8}\.part)?$")


class BusyError(UserError):
    """Another process is writing the same run."""


class DamagedError(UserError):
    """Records on disk are not what was written."""


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file so that it always holds either the old or the new content, also after a power cut.

    The new content is written to a file with a unique name beside it, which is then renamed. A symbolic link is
    replaced, not followed.
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


def now() -> str:
    """Return the time in UTC, in seconds, as a manifest has it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def csv_lines(rows: Iterable[Sequence[Any]]) -> bytes:
    """Write rows as CSV; floats with the fewest digits that read back the same, None as an empty field."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


@dataclass(frozen=True)
class Checkpoint:
    """The state of an unfinished run.

    Attributes:
        payload: the state, in the format of whoever saved it.
        csv_bytes: length of the part of ``metrics.csv`` that the checkpoint belongs to.
        csv_sha256: checksum of that part, which does not depend on the order of its lines.
    """

    payload: bytes
    csv_bytes: int
    csv_sha256: str


class RunFolder:
    """The records of one run."""

    def __init__(self, path: Path) -> None:
        """Refer to the folder ``path``; nothing is read or written."""
        self.path = path
        self.metrics = path / "metrics.csv"
        self.timing = path / "timing.csv"
        self.tracker = path / "tracker.json"
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
            entries = json.loads(path.read_text())
        except FileNotFoundError:
            return {}
        except (ValueError, RecursionError) as error:
            raise DamagedError("the manifest is not JSON", path, "start with rerun=true") from error
        version = entries.get("manifest_version") if isinstance(entries, dict) else None
        if version != MANIFEST_VERSION:
            raise DamagedError(
                f"the manifest has version {version}, this program reads {MANIFEST_VERSION}",
                path,
                "use the version of scaleinv that wrote it, or train again with rerun=true",
            )
        return entries

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
        """Lock the run for this process; the kernel releases the lock when the process ends, however it ends.

        Raises:
            BusyError: another process holds the lock; the message says which.
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
            except (OSError, ValueError):  # the owner is just writing it
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
            with suppress(OSError):  # the disk has become read-only
                owner.unlink(missing_ok=True)
            lock.release()

    @property
    def is_locked(self) -> bool:
        """Whether a process is writing this run; asking changes nothing."""
        if not (self.path / ".lock").is_file() or not (self.path / "lock.json").exists():
            return False
        try:
            with FileLock(self.path / ".lock", timeout=0):
                return False
        except (Timeout, OSError):  # on a disk that cannot be written, its account of the owner has to do
            return True

    def clear(self) -> None:
        """Remove the files that a run writes, except the lock; other files in the folder stay."""
        for name in FILES:
            (self.path / name).unlink(missing_ok=True)
        for kind in KINDS:
            self.forget(kind)

    def foreign(self) -> list[str]:
        """List what is in the folder that a run does not write: other files and folders, and links."""
        files = {*FILES, *LOCKS, *(f"{kind}.safetensors" for kind in KINDS)}
        names = []
        for path in sorted(self.path.iterdir()):
            if path.name in KINDS and path.is_dir() and not path.is_symlink():
                inside = sorted(path.iterdir())
                names += [
                    f"{path.name}/{one.name}" for one in inside if not _is_file(one) or not _KIND.search(one.name)
                ]
            elif not _is_file(path) or _without_part(path.name) not in files:
                names.append(path.name)
        return names

    def remove(self) -> None:
        """Remove the folder and the files that a run writes.

        Raises:
            BusyError: another process is writing this run.
            DamagedError: there is something else in the folder, or a link; nothing is removed.
        """
        with self.locked():
            if names := self.foreign():
                raise DamagedError(
                    f"there is something that no run wrote: {', '.join(names)}", self.path, "move it away"
                )
            self.clear()
            for path in [*self.path.rglob("*.part"), *(self.path / name for name in LOCKS)]:
                path.unlink(missing_ok=True)
            for kind in KINDS:
                self._remove_parts(kind)
        with suppress(OSError):  # another process has begun the run anew
            self.path.rmdir()

    def whole(self, kind: str) -> Path:
        """Return the path of the tensors of all members, which exists when the run has ended."""
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
        with suppress(OSError):  # it does not exist, or holds files that we did not write
            (self.path / kind).rmdir()

    def write_config(self, resolved: Mapping[str, Any], command: str) -> None:
        """Write ``config.yaml`` and ``command.txt``."""
        write_atomically(self.path / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(dict(resolved))).encode())
        write_atomically(self.path / "command.txt", (command + "\n").encode())

    def read_metrics(self) -> bytes:
        """Return the bytes of a finished run's ``metrics.csv``, which a release stores compressed.

        Raises:
            DamagedError: the file is missing, or is not what the run wrote.
        """
        path, manifest = metrics_file(self.path), self.manifest
        mend = "put it back, or train again with rerun=true"
        try:
            content = path.read_bytes()
            if (decompress := COMPRESSED.get(path.suffix)) is not None:
                content = decompress(content)
        except FileNotFoundError as error:
            raise DamagedError("the run is marked as done, but its metrics are gone", path, mend) from error
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise DamagedError(f"the metrics cannot be read: {error}", path, mend) from error
        rows = content.count(b"\n") - 1
        if rows != manifest.get("rows", rows):
            raise DamagedError(
                f"the metrics were changed: they have {rows} rows, the run wrote {manifest['rows']}", path, mend
            )
        # Older manifests have no checksum, only the number of rows.
        wanted = manifest.get("metrics_sha256")
        if wanted is not None and hashlib.sha256(content).hexdigest() != wanted:
            raise DamagedError("the metrics were changed: their checksum is not that of the run", path, mend)
        return content

    def adopt(self, other: "RunFolder") -> None:
        """Take over the records of the same run from another folder, in place of unfinished ones of its own.

        Raises:
            BusyError: another process is writing this run.
            DamagedError: the other folder's records are not what the run wrote.
        """
        content = other.read_metrics()
        with self.locked():
            self.clear()
            write_atomically(self.metrics, content)
            # The manifest comes last: with it the run is done.
            for name in ("config.yaml", "command.txt", "manifest.json"):
                write_atomically(self.path / name, (other.path / name).read_bytes())

    @property
    def is_begun(self) -> bool:
        """Whether an unfinished run has a checkpoint to resume from."""
        return self._checkpoint.exists() or self._previous.exists()

    def append(self, path: Path, rows: Iterable[Sequence[Any]]) -> None:
        """Append rows to one of the CSVs and flush them to the disk."""
        with path.open("ab") as file:
            file.write(csv_lines(rows))
            file.flush()
            os.fsync(file.fileno())

    def save_checkpoint(self, payload: bytes) -> None:
        """Save ``payload`` as the state that belongs to the present ``metrics.csv``; keep the last checkpoint too."""
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
        """Return the last intact checkpoint, or None, after cutting ``metrics.csv`` back to its length.

        Raises:
            DamagedError: the part of ``metrics.csv`` that the checkpoint belongs to was changed.
        """
        for path in (self._checkpoint, self._previous):
            if (checkpoint := self._read_checkpoint(path)) is None:
                continue
            written = self.metrics.read_bytes() if self.metrics.exists() else b""
            kept = written[: checkpoint.csv_bytes]
            if _checksum(kept) != checkpoint.csv_sha256:
                raise DamagedError(
                    f"metrics.csv was changed after its checkpoint: {len(written)} bytes, not {checkpoint.csv_bytes}",
                    self.metrics,
                    "put it back, or start again with rerun=true",
                )
            if len(kept) < len(written):
                os.truncate(self.metrics, len(kept))
            return checkpoint
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
        """Sort ``metrics.csv``, mark the run as done and remove its checkpoints.

        Sorting makes the file independent of how the members were cut into stacks. All of this can be repeated: a run
        that is killed in the middle ends the same way at its next start.

        Args:
            key: columns to sort by.
            entries: further entries of the manifest.

        Returns:
            The number of rows.
        """
        head, *rows = csv.reader(io.StringIO(self.metrics.read_text()))
        columns = [head.index(name) for name in key]
        rows.sort(key=lambda row: [_sortable(row[c]) for c in columns])
        content = csv_lines([head, *rows])
        write_atomically(self.metrics, content)
        self.update_manifest(
            status="done",
            ended=now(),
            rows=len(rows),
            metrics_sha256=hashlib.sha256(content).hexdigest(),
            **entries,
        )
        self._checkpoint.unlink(missing_ok=True)
        self._previous.unlink(missing_ok=True)
        (self.path / "error.txt").unlink(missing_ok=True)
        return len(rows)


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _without_part(name: str) -> str:
    """Return the name of the file that :func:`write_atomically` was writing when it was killed, or the name itself."""
    return match[1] if (match := _PART.fullmatch(name)) else name


def _sortable(field: str) -> tuple[float, str]:
    """Return a sort key: empty fields first, then numbers by size, then texts alphabetically."""
    try:
        return (float(field or "-inf"), "")
    except ValueError:
        return (float("inf"), field)


def _checksum(written: bytes) -> str:
    """Hash the lines in sorted order, so that :meth:`RunFolder.finish` does not change it."""
    return hashlib.sha256(b"".join(sorted(written.splitlines(keepends=True)))).hexdigest()


def metrics_file(folder: Path) -> Path:
    """Return the path of a run's metrics: ``metrics.csv``, or in a release ``metrics.csv.xz`` (once ``.gz``)."""
    plain = folder / "metrics.csv"
    compressed = [folder / f"metrics.csv{ending}" for ending in COMPRESSED]
    return next((path for path in (plain, *compressed) if path.exists()), plain)
