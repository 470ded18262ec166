"""Where a run's rows are shown while it trains; a configuration names one by its module."""

from scaleinv.trackers.base import TrackedMember, TrackedRun, Tracker

__all__ = ["TrackedMember", "TrackedRun", "Tracker"]
