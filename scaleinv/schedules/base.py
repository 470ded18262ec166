"""What a schedule is."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from scaleinv.probes.base import Scene
    from scaleinv.training.trial import Trial


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

    def attach(self, scene: "Scene") -> "Controller | None":
        """Return what chooses the learning rates while training goes on, or None if :meth:`factor` is all there is.

        Raises:
            ValueError: the scene lacks what it needs.
        """
        return None

    def check(self, steps_per_epoch: int, epochs: int) -> None:
        """Check that the schedule fits into a run.

        Raises:
            ValueError: it is longer than the run.
        """
        return


class Controller(ABC):
    """A schedule attached to a stack: a closed loop, which sees every step before it is taken."""

    @abstractmethod
    def choose(self, trial: "Trial") -> Tensor:
        """Return the learning rate of each member at the coming step, float64, ``(members,)``.

        Args:
            trial: the step; its patterns at other learning rates can be asked for.
        """

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint must hold; the same tensors at every call."""

    def arrays(self) -> dict[str, Tensor]:
        """Return results for ``arrays.safetensors``, ``(members, ...)`` by name."""
        return {}


def require(condition: bool | Tensor, message: str) -> None:
    """Raise unless the condition holds, for every member if it is one per member.

    Raises:
        ValueError: it does not; with ``message``.
    """
    if not (condition.all() if isinstance(condition, Tensor) else condition):
        raise ValueError(message)
