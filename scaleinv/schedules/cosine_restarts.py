"""Cosine decay with restarts."""

from dataclasses import dataclass

from torch import Tensor

from scaleinv.schedules.base import Progress, Schedule, require
from scaleinv.schedules.cosine import fall
from scaleinv.symmetry.members import PerMember, WholePerMember


@dataclass(frozen=True, kw_only=True)
class CosineRestarts(Schedule):
    """Half cosine waves from 1 to ``end``, one after the other; as ``CosineAnnealingWarmRestarts`` of PyTorch.

    Attributes:
        epochs: length of the first wave.
        growth: length of each wave divided by that of the one before.
        end: factor at the end of each wave.
    """

    epochs: WholePerMember
    growth: int = 2
    end: PerMember = 0.0

    def __post_init__(self) -> None:
        """Check the options."""
        require(self.epochs >= 1, f"a wave needs at least one epoch, got {self.epochs}")
        require(self.growth >= 1, f"growth must be at least 1, got {self.growth}")
        require((self.end >= 0) & (self.end <= 1), f"end must be between 0 and 1, got {self.end}")

    def check(self, steps_per_epoch: int, epochs: int) -> None:
        """Refuse a first wave that does not end; see :meth:`Schedule.check`."""
        require(self.epochs <= epochs, f"a wave of {self.epochs} epochs is longer than the run, which has {epochs}")

    def factor(self, progress: Progress) -> Tensor:
        """Compute :func:`fall` for the share of the current wave that is done."""
        length = self.epochs * progress.steps_per_epoch
        if self.growth == 1:
            return fall((progress.step % length) / length, 1.0, self.end)
        # Few waves fit into a run when each is longer than the one before. As many as if the first were shortest:
        # how many there are for each member is not known while a step is captured.
        share, start = progress.step / length, 0 * length
        end, shortest = 0, progress.steps_per_epoch
        while (end := end + shortest) < progress.steps:
            start, length, shortest = start + length, length * self.growth, shortest * self.growth
            share = share.where(progress.step < start, (progress.step - start) / length)
        return fall(share, 1.0, self.end)
