"""Triangular waves."""

from dataclasses import dataclass

from torch import Tensor

from scaleinv.schedules.base import Progress, Schedule, require
from scaleinv.symmetry.members import PerMember, WholePerMember


@dataclass(frozen=True, kw_only=True)
class Triangular(Schedule):
    """Straight lines from 1 down to ``end`` and up to 1 again, wave after wave.

    Fast geometric ensembling takes a snapshot at the low point of every wave (Garipov et al. 2018, eq. 3).

    Attributes:
        epochs: length of a wave; its low point is in the middle.
        after: number of epochs at 1 before the first wave.
        end: factor at the low points.
    """

    epochs: WholePerMember
    after: WholePerMember = 0
    end: PerMember = 0.01

    def __post_init__(self) -> None:
        """Check the options."""
        require(self.epochs >= 1, f"a wave needs at least one epoch, got {self.epochs}")
        require(self.after >= 0, f"after must be at least 0, got {self.after}")
        require((self.end >= 0) & (self.end <= 1), f"end must be between 0 and 1, got {self.end}")

    def check(self, steps_per_epoch: int, epochs: int) -> None:
        """Refuse a first wave that does not end; see :meth:`Schedule.check`."""
        length = self.after + self.epochs
        require(length <= epochs, f"the first wave ends after {length} epochs, the run has {epochs}")

    def factor(self, progress: Progress) -> Tensor:
        """Compute ``end + (1 - end) |1 - 2 x|``, x the share of the wave that is done; 1 before the first wave."""
        length, done = self.epochs * progress.steps_per_epoch, progress.step - self.after * progress.steps_per_epoch
        share = (done.clamp(min=0) % length) / length
        return (1 - 2 * share).abs().mul(1 - self.end).add(self.end)
