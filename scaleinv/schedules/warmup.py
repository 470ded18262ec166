"""Linear warm-up."""

from dataclasses import dataclass

from torch import Tensor

from scaleinv.schedules.base import Progress, Schedule, require
from scaleinv.symmetry.members import PerMember, WholePerMember


@dataclass(frozen=True, kw_only=True)
class Warmup(Schedule):
    """From ``start`` to 1 in equal increments, then 1; as ``torch.optim.lr_scheduler.LinearLR``.

    Attributes:
        steps: number of steps until the factor is 1.
        start: first factor.
    """

    steps: WholePerMember
    start: PerMember = 0.01

    def __post_init__(self) -> None:
        """Check the options."""
        require(self.steps >= 1, f"a warm-up needs at least one step, got {self.steps}")
        require((self.start >= 0) & (self.start <= 1), f"a warm-up starts between 0 and 1, got {self.start}")

    def check(self, steps_per_epoch: int, epochs: int) -> None:
        """Refuse a warm-up that never ends; see :meth:`Schedule.check`."""
        run = steps_per_epoch * epochs
        require(self.steps <= run, f"a warm-up of {self.steps} steps is longer than the run, which has {run}")

    def factor(self, progress: Progress) -> Tensor:
        """Compute ``start + (1 - start) min(step / steps, 1)``."""
        return (progress.step / self.steps).clamp(max=1) * (1 - self.start) + self.start
