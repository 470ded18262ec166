"""What a tracker is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar

from scaleinv.runs.errors import ConfigError

# How the training of a member can end; one that diverges is finished.
FINISHED, FAILED, INTERRUPTED = ENDINGS = ("finished", "failed", "interrupted")


@dataclass(frozen=True)
class TrackedMember:
    """One member of a grid, as a tracker sees it: a run of a group.

    Attributes:
        name: its numbers on the axes of the grid, ``lr=0.1,seed=0``; unique in its group.
        group: the grid: run id and beginning. A run that is trained again has another one.
        axes: its numbers on the axes, by key of the configuration (``optimizer.lr``).
        config: every key of the configuration, those of the axes with the member's own number.
        tags: words to search for.
        is_resumed: whether an earlier process may have opened it.
    """

    name: str
    group: str
    axes: Mapping[str, float]
    config: Mapping[str, Any]
    tags: tuple[str, ...]
    is_resumed: bool = False


class TrackedRun(ABC):
    """One run of a tracker, open for writing."""

    @abstractmethod
    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """Write the numbers of an epoch, unless the store has them: a killed process may have written them.

        Args:
            step: number of the epoch; it grows from call to call.
            numbers: values by column of ``metrics.csv``; they may be infinite or NaN.
        """

    @abstractmethod
    def close(self, ending: str) -> None:
        """Set the state of the run, one of ``ENDINGS``, and free what it holds; it may be opened again."""

    def flush(self) -> None:
        """Hand on what was written, so that it survives the death of this process."""
        return


@dataclass(frozen=True)
class Tracker(ABC):
    """Options of a tracker. Subclasses are frozen dataclasses; their fields are its configuration keys.

    A tracker changes no result: it is no part of a run's identity, and it may fail at any moment.

    Attributes:
        needs: module that must be installed, and the package that has it; None if nothing is needed.
        is_on: whether there is anything to write to.
    """

    needs: ClassVar[tuple[str, str] | None] = None
    is_on: ClassVar[bool] = True

    def check(self) -> None:
        """Check that rows can be written, before anything is started.

        Raises:
            ConfigError: a package or a permission is missing; the message says how to get it.
        """
        if self.needs and find_spec(self.needs[0]) is None:
            module, package = self.needs
            raise ConfigError(f"this tracker needs the package {module}", "tracker", f"pip install {package}")

    @abstractmethod
    def open(self, member: TrackedMember) -> TrackedRun:
        """Open the run of a member: a new one, or with ``member.is_resumed`` the one that an earlier process left."""
