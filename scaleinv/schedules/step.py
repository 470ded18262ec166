"""Step decay."""

from dataclasses import dataclass

from torch import Tensor

from scaleinv.schedules.base import Progress, Schedule, require
from scaleinv.symmetry.members import PerMember, WholePerMember


@dataclass(frozen=True, kw_only=True)
class StepDecay(Schedule):
    """Multiply by ``gamma`` every ``every`` epochs; as ``torch.optim.lr_scheduler.StepLR``.

    Attributes:
        every: number of epochs from one drop to the next.
        gamma: factor of each drop.
    """

    every: WholePerMember
    gamma: PerMember = 0.1

    def __post_init__(self) -> None:
        """Check the options."""
        require(self.every >= 1, f"a drop needs at least one epoch before it, got every={self.every}")
        require(self.gamma > 0, f"gamma must be greater than 0, got {self.gamma}")

    def check(self, steps_per_epoch: int, epochs: int) -> None:
        """Refuse drops that never come; see :meth:`Schedule.check`."""
        require(self.every < epochs, f"the first drop, after epoch {self.every}, is not in a run of {epochs} epochs")

    def factor(self, progress: Progress) -> Tensor:
        """Compute ``gamma^floor(epoch / every)``."""
        return self.gamma ** (progress.epoch / self.every).floor()
