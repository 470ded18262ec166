"""Cosine decay."""

import math
from dataclasses import dataclass

from torch import Tensor

from scaleinv.schedules.base import Progress, Schedule, require
from scaleinv.symmetry.members import PerMember


@dataclass(frozen=True, kw_only=True)
class Cosine(Schedule):
    """Half a cosine wave from 1 to ``end`` over the run; as ``torch.optim.lr_scheduler.CosineAnnealingLR``.

    Attributes:
        end: factor after the last step.
    """

    end: PerMember = 0.0

    def __post_init__(self) -> None:
        """Check the options."""
        require((self.end >= 0) & (self.end <= 1), f"end must be between 0 and 1, got {self.end}")

    def factor(self, progress: Progress) -> Tensor:
        """Compute :func:`fall` for the share of the run that is done."""
        return fall(progress.step / max(1, progress.steps), 1.0, self.end)


def fall(share: Tensor, first: PerMember, last: PerMember) -> Tensor:
    """Compute ``last + (first - last) (1 + cos(pi share)) / 2``, which falls from first to last for shares 0 to 1."""
    return (share * math.pi).cos().add(1).mul((first - last) / 2).add(last)
