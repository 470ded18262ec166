"""Base class of tasks."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from scaleinv.runs.config import Config
    from scaleinv.runs.folder import RunFolder


@dataclass(frozen=True)
class Task(ABC):
    """A procedure and its options. Subclasses are frozen dataclasses; their fields are the configuration keys.

    Attributes:
        reads: groups (``space``) and keys (``network.bias``, ``seeds``) that it reads besides its own; None means all.
            Keys that it does not read are not part of a run's identity.
        needs_labels: whether it scores classifications, so that targets that are numbers are refused.
        is_tracked: whether it, or a run that it makes, has epochs that a tracker can show.
    """

    reads: ClassVar[tuple[str, ...] | None] = None
    needs_labels: ClassVar[bool] = False
    is_tracked: ClassVar[bool] = False

    def prepare(self, config: "Config") -> None:
        """Check that the task can be done, before any folder is made.

        Raises:
            UserError: it cannot; the message says why.
        """
        return

    def words(self, name: str, labels: Mapping[str, str]) -> tuple[str, ...]:
        """Return the words that the name of a run's folder begins with.

        Args:
            name: name of the task.
            labels: name of the chosen file, by group.
        """
        return (name, labels["dataset"])

    def require_kept(self, config: "Config", folder: "RunFolder") -> None:
        """Check that a finished run has kept what this configuration asks for.

        Raises:
            UserError: it has not; the message says how to get it.
        """
        return

    def track(self, config: "Config", folder: "RunFolder") -> None:
        """Send the rows of a finished run that its tracker lacks."""
        return

    def cost(self, config: "Config") -> float:
        """Return a number proportional to the time that a run takes; 0 if it takes only moments."""
        return 0.0

    @abstractmethod
    def run(self, config: "Config", folder: "RunFolder") -> str:
        """Do the task and write its records.

        Args:
            config: the whole checked configuration; ``config.task`` is this task.
            folder: folder of the records, locked by the caller.

        Returns:
            A short summary of the result.
        """
