"""What a loss is."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Score:
    """Loss and correctness of images per member: shapes ``(members, images)``, or ``(members,)`` when summed.

    Attributes:
        loss: loss of every image, or their sum.
        correct: whether the largest output is at the label (of equal ones the first), or the number of such images.
    """

    loss: Tensor
    correct: Tensor

    def total(self) -> "Score":
        """Sum over the images, in float64."""
        return Score(self.loss.sum(-1, dtype=torch.float64), self.correct.sum(-1))


@dataclass(frozen=True, kw_only=True)
class Loss(ABC):
    """Options of a loss function. Subclasses are frozen dataclasses; their fields are its configuration keys.

    The records' train_loss, val_loss and test_loss are means of this loss over the images of a split, with smoothing,
    without penalties. Compare losses only between runs with the same loss; accuracies mean the same under every loss.

    Members are ordered by group; the members of a group see the same images.
    """

    def targets(self, labels: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
        """Turn labels into what :meth:`delta_` compares the outputs with: here 1 at the label, 0 elsewhere.

        Args:
            labels: ``(groups, images)``.
            classes: number of outputs.
            dtype: dtype of the outputs.

        Returns:
            Shape ``(groups, classes, images)``; ``(members, classes, images)`` from a loss with an option per member.
        """
        zeros = torch.zeros(len(labels), classes, labels.shape[1], dtype=dtype, device=labels.device)
        return zeros.scatter_(1, labels[:, None], 1.0)

    @abstractmethod
    def delta_(self, logits: Tensor, targets: Tensor, out: Tensor) -> Tensor:
        """Compute the gradient of a batch's mean loss by the outputs, in place.

        Args:
            logits: ``(members, classes, batch)``.
            targets: targets of one batch per group, or per member, ``(groups, classes, batch)``; see :meth:`targets`.
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
    """View ``(members, ...)`` as ``(groups, members per group, ...)``, so that it broadcasts with targets."""
    return tensor.view(groups, -1, *tensor.shape[1:])
