"""A schedule that was recorded."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from scaleinv.schedules.base import Progress, Schedule, require


@dataclass(frozen=True, kw_only=True)
class Replay(Schedule):
    """Straight lines through factors that are spread evenly from the first step to the last.

    With as many factors as steps, step k has the k-th: what a closed loop chose in one run can be repeated in another.

    Attributes:
        factors: factors of the learning rate.
    """

    factors: list[float]

    def __post_init__(self) -> None:
        """Check the factors."""
        fits = len(self.factors) > 0 and all(math.isfinite(f) and f >= 0 for f in self.factors)
        require(fits, "factors must be a list of finite numbers from 0")

    def factor(self, progress: Progress) -> Tensor:
        """Interpolate between the two factors beside the step."""
        factors = self._on(progress.step.device)
        last = len(self.factors) - 1
        place = (progress.step * last / max(1, progress.steps - 1)).clamp(max=last)
        # Round-off must not move a step off its own factor.
        place = torch.where((place - place.round()).abs() < 1e-9, place.round(), place)
        low = place.floor()
        low_factor, high_factor = factors.take(low.long()), factors.take(low.long() + 1)
        return low_factor + (high_factor - low_factor) * (place - low)

    def _on(self, device: torch.device) -> Tensor:
        """Return the factors, the last one twice; copied once, because a captured step cannot copy from the host."""
        if device not in self._copies:
            self._copies[device] = torch.tensor([*self.factors, self.factors[-1]], dtype=torch.float64, device=device)
        return self._copies[device]

    @cached_property
    def _copies(self) -> dict[torch.device, Tensor]:
        return {}
