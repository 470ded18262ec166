"""One cycle."""

from dataclasses import dataclass

from torch import Tensor

from scaleinv.schedules.base import Progress, Schedule, require
from scaleinv.schedules.cosine import fall
from scaleinv.symmetry.members import PerMember


@dataclass(frozen=True, kw_only=True)
class OneCycle(Schedule):
    """Up to 1, then down, in half cosine waves, over the run; as ``torch.optim.lr_scheduler.OneCycleLR``.

    The learning rate of the grid is the highest of the cycle.

    Attributes:
        rise: share of the run in which the factor rises.
        first: factor of the first step.
        last: factor of the last step.
    """

    rise: PerMember = 0.3
    first: PerMember = 0.04
    last: PerMember = 4e-6

    def __post_init__(self) -> None:
        """Check the options."""
        require((self.rise > 0) & (self.rise < 1), f"rise must be between 0 and 1, got {self.rise}")
        require((self.first >= 0) & (self.last >= 0), "first and last must be at least 0")

    def check(self, steps_per_epoch: int, epochs: int) -> None:
        """Refuse a rise or fall of less than one step; see :meth:`Schedule.check`."""
        run = steps_per_epoch * epochs
        fits = (self.rise * run > 1) & (self.rise * run < run - 1)
        require(fits, f"a cycle with rise {self.rise} does not fit into a run of {run} steps")

    def factor(self, progress: Progress) -> Tensor:
        """Compute :func:`fall` for the share of the rise, or of the fall, that is done."""
        top = self.rise * progress.steps - 1
        up = fall(progress.step / top, self.first, 1.0)
        down = fall((progress.step - top) / (progress.steps - 1 - top), 1.0, self.last)
        return up.where(progress.step <= top, down)
