"""Cyclical learning rates."""

from dataclasses import dataclass

from torch import Tensor

from scaleinv.schedules.base import Progress, Schedule, require
from scaleinv.symmetry.members import PerMember, WholePerMember


@dataclass(frozen=True, kw_only=True)
class Cyclic(Schedule):
    """Straight lines from ``low`` up to 1 and down again, cycle after cycle; as ``torch.optim.lr_scheduler.CyclicLR``.

    Attributes:
        epochs: length of the way up, and of the way down.
        low: factor at the low points.
        halving: whether the height of the waves is halved after each cycle (``triangular2``).
    """

    epochs: WholePerMember
    low: PerMember = 0.01
    halving: bool = True

    def __post_init__(self) -> None:
        """Check the options."""
        require(self.epochs >= 1, f"the way up needs at least one epoch, got epochs={self.epochs}")
        require((self.low >= 0) & (self.low <= 1), f"low must be between 0 and 1, got {self.low}")

    def check(self, steps_per_epoch: int, epochs: int) -> None:
        """Refuse a cycle that does not end; see :meth:`Schedule.check`."""
        require(2 * self.epochs <= epochs, f"a cycle takes {2 * self.epochs} epochs, the run has {epochs}")

    def factor(self, progress: Progress) -> Tensor:
        """Compute ``low + (1 - low) (1 - |1 - 2 x|) / 2^k``, x the share of the k-th cycle that is done."""
        cycles = progress.step / (2 * self.epochs * progress.steps_per_epoch)
        whole = cycles.floor()
        height = 1 - (1 - 2 * (cycles - whole)).abs()
        return height.mul(1 - self.low).mul((-whole).exp2() if self.halving else 1.0).add(self.low)
