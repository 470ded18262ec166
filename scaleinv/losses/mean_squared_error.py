"""Mean squared error."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scaleinv.losses.base import Loss, by_group


@dataclass(frozen=True, kw_only=True)
class MeanSquaredError(Loss):
    """``mean_c (z_c - t_c)^2``; as ``torch.nn.functional.mse_loss``.

    The target t is 1 at the label and 0 elsewhere, or the numbers of a data set for regression; z are the outputs
    themselves, without a softmax.
    """

    takes_numbers: ClassVar[bool] = True

    def delta_(self, logits: Tensor, targets: Tensor, out: Tensor) -> Tensor:
        """Compute ``2 (z - t) / (classes batch)``, for any real targets; see :meth:`Loss.delta_`."""
        groups = len(targets)
        torch.sub(by_group(logits, groups), targets[:, None], out=by_group(out, groups))
        return out.mul_(2 / (logits.shape[1] * logits.shape[2]))

    def per_image(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Compute ``mean_c (z_c - t_c)^2``; see :meth:`Loss.per_image`."""
        return (logits - self.targets(labels, logits.shape[1], logits.dtype)).square_().mean(1)
