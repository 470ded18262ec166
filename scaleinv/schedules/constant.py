"""No schedule."""

from dataclasses import dataclass

from scaleinv.schedules.base import Progress, Schedule


@dataclass(frozen=True, kw_only=True)
class Constant(Schedule):
    """The learning rate stays what it is."""

    def factor(self, progress: Progress) -> None:
        """Return None: always one."""
        return
