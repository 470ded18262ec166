"""What a task is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from scaleinv.runs.config import Config
    from scaleinv.runs.folder import RunFolder


@dataclass(frozen=True)
class Task(ABC):
    """Options of a procedure. Subclasses are frozen dataclasses; their fields are its configuration keys.

    Attributes:
        reads: groups (``space``) and keys (``network.bias``, ``seeds``) that it reads besides its own; None is all of
            them. The others are no part of a run's identity.
    """

    reads: ClassVar[tuple[str, ...] | None] = None

    def prepare(self, config: "Config") -> None:
        """Find out whether the task can be done, before any folder is made.

        Raises:
            UserError: it cannot; the message says why.
        """
        return

    def words(self, name: str, labels: Mapping[str, str]) -> tuple[str, ...]:
        """Return the readable beginning of a run's folder.

        Args:
            name: of the task.
            labels: names of the choices, by group.
        """
        return (name, labels["dataset"])

    def require_kept(self, config: "Config", folder: "RunFolder") -> None:
        """Refuse to serve a finished run that lacks what this configuration asks to be kept.

        Raises:
            UserError: saying how to get it.
        """
        return

    def cost(self, config: "Config") -> float:
        """Return a number in proportion to the time that a run takes; 0 is moments."""
        return 0.0

    @abstractmethod
    def run(self, config: "Config", folder: "RunFolder") -> str:
        """Do it, leave the records in ``folder``, and return one line that says what came out.

        Args:
            config: checked; holds this task too.
            folder: locked by the caller.
        """
