"""Runs of Trackio."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scaleinv.trackers.base import TrackedMember, TrackedRun, Tracker


@dataclass(frozen=True)
class Trackio(Tracker):
    """One run of a project per member; the members of a grid are a group.

    Attributes:
        project: name of the project.
        space: name of the Space that shows it; None keeps it on this machine (in ``$TRACKIO_DIR``).
    """

    needs = ("trackio", "trackio")
    project: str
    space: str | None

    def open(self, member: TrackedMember) -> "TrackioRun":
        """Open the run by its name, which in a project must be unique; see :meth:`Tracker.open`."""
        import trackio

        return TrackioRun(
            trackio.init(
                project=self.project,
                name=f"{member.group} {member.name}",
                group=member.group,
                config={**member.config, "tags": list(member.tags)},
                space_id=self.space,
                resume="allow",
                embed=False,
            )
        )


class TrackioRun(TrackedRun):
    """See :class:`Trackio`, which writes from a thread of its own, some half second later."""

    def __init__(self, run: Any) -> None:
        """Take over a run that is open."""
        self._run = run

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """Hand one record to the thread; see :meth:`TrackedRun.write`."""
        self._run.log(dict(numbers), step=step)

    def close(self, ending: str) -> None:
        """Wait for the thread; see :meth:`TrackedRun.close`."""
        self._run.finish()
