"""No tracker."""

from dataclasses import dataclass
from typing import ClassVar

from scaleinv.trackers.base import TrackedMember, TrackedRun, Tracker


@dataclass(frozen=True)
class NoTracker(Tracker):
    """The records are all there is."""

    is_on: ClassVar[bool] = False

    def open(self, member: TrackedMember) -> TrackedRun:
        """Refuse; see :meth:`Tracker.open`."""
        raise NotImplementedError("there is nothing to write to")
