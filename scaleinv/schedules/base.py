"""What a schedule is."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Progress:
    """How far training is.

    Attributes:
        step: steps taken so far, float64, shape ``()``, on the device: a captured step reads it anew at every replay.
        steps_per_epoch: number of batches in an epoch.
        epochs: number of epochs of the whole run.
    """

    step: Tensor
    steps_per_epoch: int
    epochs: int

    @property
    def epoch(self) -> Tensor:
        """Epochs finished so far."""
        return (self.step / self.steps_per_epoch).floor()

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.epochs * self.steps_per_epoch


@dataclass(frozen=True, kw_only=True)
class Schedule(ABC):
    """A multiplier of every member's learning rate. Subclasses are frozen dataclasses of options."""

    @abstractmethod
    def factor(self, progress: Progress) -> Tensor | None:
        """Return the multiplier for the next step, or None for a schedule that is always one.

        Tensor operations only, so that a step can be captured; no branch on a value.

        Returns:
            Float64, shape ``()``, or ``(members,)``.
        """

    def check(self, steps_per_epoch: int, epochs: int) -> None:
        """Check that the schedule fits into a run.

        Raises:
            ValueError: it is longer than the run.
        """
        return


def require(condition: bool, message: str) -> None:
    """Raise unless the condition holds.

    Raises:
        ValueError: it does not; with ``message``.
    """
    if not condition:
        raise ValueError(message)
