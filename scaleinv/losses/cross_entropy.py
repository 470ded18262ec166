"""Cross-entropy."""

from dataclasses import dataclass

import torch
from torch import Tensor

from scaleinv.losses.base import Loss, Score


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """``-log softmax(z)[label]``, in nats."""

    def targets(self, labels: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
        """Return the distributions with all mass at the labels."""
        zeros = torch.zeros(len(labels), classes, labels.shape[1], dtype=dtype, device=labels.device)
        return zeros.scatter_(1, labels[:, None], 1.0)

    def delta_(self, logits: Tensor, targets: Tensor, out: Tensor) -> Tensor:
        """Compute ``(softmax(z) - targets) / batch`` (thesis, eq. 1.7); see :meth:`Loss.delta_`."""
        torch.softmax(logits, 1, out=out)
        out.view(targets.shape[0], -1, *out.shape[1:]).sub_(targets[:, None])
        return out.div_(logits.shape[-1])

    def score(self, logits: Tensor, labels: Tensor) -> Score:
        """Score every image; see :meth:`Loss.score`."""
        groups, images = labels.shape
        of_member = labels[:, None].expand(groups, len(logits) // groups, images).reshape(-1, images)
        loss = torch.log_softmax(logits, 1).gather(1, of_member[:, None]).squeeze(1).neg_()
        return Score(loss, logits.max(1).indices == of_member)
