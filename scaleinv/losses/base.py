"""What a loss is."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Score:
    """What images cost each member: shapes ``(members, images)``, or ``(members,)`` when summed.

    Attributes:
        loss: of every image.
        correct: whether the largest output is the label's (the first of equal ones counts), or how often.
    """

    loss: Tensor
    correct: Tensor

    def total(self) -> "Score":
        """Sum over the images, in float64."""
        return Score(self.loss.sum(-1, dtype=torch.float64), self.correct.sum(-1))


@dataclass(frozen=True, kw_only=True)
class Loss(ABC):
    """What is minimised. Subclasses are frozen dataclasses; their fields are its configuration keys.

    The records' train_loss, val_loss and test_loss are means of this very loss over the images of a split, smoothing
    included; penalties are not part of them. Accuracies mean the same under every loss: compare losses between runs
    of one loss only, accuracies between any.

    Members are ordered by group; the members of a group see the same images.
    """

    def targets(self, labels: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
        """Turn labels into what :meth:`delta_` compares the outputs with: here 1 at the label, 0 elsewhere.

        Args:
            labels: ``(groups, images)``.
            classes: number of outputs.
            dtype: of the outputs.

        Returns:
            Shape ``(groups, classes, images)``.
        """
        zeros = torch.zeros(len(labels), classes, labels.shape[1], dtype=dtype, device=labels.device)
        return zeros.scatter_(1, labels[:, None], 1.0)

    @abstractmethod
    def delta_(self, logits: Tensor, targets: Tensor, out: Tensor) -> Tensor:
        """Compute the gradient of a batch's mean loss by the outputs.

        Args:
            logits: ``(members, classes, batch)``.
            targets: see :meth:`targets`; of one batch per group.
            out: contiguous, shaped as the logits; the result is written there.
        """

    @abstractmethod
    def per_image(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of every image.

        Args:
            logits: ``(members, classes, images)``.
            labels: ``(members, images)``.

        Returns:
            Shape ``(members, images)``.
        """

    def score(self, logits: Tensor, labels: Tensor) -> Score:
        """Score every image.

        Args:
            logits: ``(members, classes, images)``.
            labels: ``(groups, images)``.

        Returns:
            Loss and correctness, ``(members, images)``.
        """
        groups, images = labels.shape
        of_member = labels[:, None].expand(groups, len(logits) // groups, images).reshape(-1, images)
        return Score(self.per_image(logits, of_member), logits.max(1).indices == of_member)


def by_group(tensor: Tensor, groups: int) -> Tensor:
    """View ``(members, ...)`` as ``(groups, members of one, ...)``, so that it broadcasts with targets."""
    return tensor.view(groups, -1, *tensor.shape[1:])
