"""Losses between a distribution and the softmax of the outputs."""

from dataclasses import dataclass

import torch
from torch import Tensor

from scaleinv.losses.base import Loss, by_group


@dataclass(frozen=True, kw_only=True)
class SoftmaxLoss(Loss):
    """``-sum_c t_c log softmax(z)_c``, in nats, with targets t that sum to one."""

    def delta_(self, logits: Tensor, targets: Tensor, out: Tensor) -> Tensor:
        """Compute ``(softmax(z) - t) / batch`` (thesis, eq. 1.7); see :meth:`Loss.delta_`."""
        torch.softmax(logits, 1, out=out)
        by_group(out, len(targets)).sub_(targets[:, None])
        return out.div_(logits.shape[-1])


def log_probability(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return log softmax(z), ``(members, classes, images)``, and its entries at the labels, ``(members, images)``."""
    every = torch.log_softmax(logits, 1)
    return every, every.gather(1, labels[:, None]).squeeze(1)
