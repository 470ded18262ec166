"""Event files for TensorBoard."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaleinv.trackers.base import TrackedMember, TrackedRun, Tracker


@dataclass(frozen=True)
class TensorBoard(Tracker):
    """One folder of event files per member, ``folder/group/name``.

    Attributes:
        folder: what ``tensorboard --logdir`` is given.
    """

    needs = ("tensorboard", "tensorboard")
    folder: str

    def open(self, member: TrackedMember) -> "TensorBoardRun":
        """Begin a further event file; see :meth:`Tracker.open`."""
        return TensorBoardRun(member, Path(self.folder).expanduser() / member.group / member.name)


class TensorBoardRun(TrackedRun):
    """See :class:`TensorBoard`. An epoch is one record, so that a killed process leaves all of it or nothing."""

    def __init__(self, member: TrackedMember, folder: Path) -> None:
        """Find the last epoch in older files, or write the options of a new run."""
        from tensorboard.compat.proto import summary_pb2
        from torch.utils.tensorboard.summary import hparams, text
        from torch.utils.tensorboard.writer import FileWriter

        self._proto: Any = summary_pb2
        self._last = _last_step(folder)
        self._writer = FileWriter(str(folder))
        if self._last < 0:
            lines = (f"    {key}: {value}" for key, value in member.config.items())  # a block of code in Markdown
            self._writer.add_summary(text("config", "\n".join(lines)), 0)
            self._writer.add_summary(text("tags", " ".join(member.tags)), 0)
            for summary in hparams(dict(member.axes), {"val_loss": 0}):
                self._writer.add_summary(summary)

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """Write one record; see :meth:`TrackedRun.write`."""
        if step <= self._last:
            return
        values = [self._proto.Summary.Value(tag=name, simple_value=number) for name, number in numbers.items()]
        self._writer.add_summary(self._proto.Summary(value=values), step)

    def flush(self) -> None:
        """Write to the disk; see :meth:`TrackedRun.flush`."""
        self._writer.flush()

    def close(self, ending: str) -> None:
        """Close the file, whose format knows no state of a run; see :meth:`TrackedRun.close`."""
        self._writer.close()


def _last_step(folder: Path) -> int:
    """Return the last epoch in the event files of a folder, -1 if there is none."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    events = (event for file in sorted(folder.glob("*tfevents*")) for event in EventFileLoader(str(file)).Load())
    return max((event.step for event in events if _has(event, "val_loss")), default=-1)


def _has(event: Any, tag: str) -> bool:
    return any(value.tag == tag for value in event.summary.value)
