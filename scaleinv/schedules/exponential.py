"""Exponential decay."""

from dataclasses import dataclass

from torch import Tensor

from scaleinv.schedules.base import Progress, Schedule, require
from scaleinv.symmetry.members import PerMember


@dataclass(frozen=True, kw_only=True)
class Exponential(Schedule):
    """``exp(-rate * epoch)``, epochs counted from 0; as ``torch.optim.lr_scheduler.ExponentialLR``.

    Attributes:
        rate: decay rate per epoch.
    """

    rate: PerMember

    def __post_init__(self) -> None:
        """Check the options."""
        require(self.rate > 0, f"rate must be greater than 0, got {self.rate}")

    def factor(self, progress: Progress) -> Tensor:
        """Compute ``exp(-rate * epoch)``."""
        return (-self.rate * progress.epoch).exp()
