"""What a loss is."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor


@dataclass(frozen=True)
class Score:
    """Loss and correctness of images per member: shapes ``(members, images)``, or ``(members,)`` when summed.

    Attributes:
        loss: loss of every image, or their sum.
        correct: whether the largest output is at the label (of equal ones the first), or the number of such images;
            None for targets that are numbers, which no output can hit.
    """

    loss: Tensor
    correct: Tensor | None

    def total(self) -> "Score":
        """Sum over the images, in float64."""
        return Score(self.loss.sum(-1, dtype=torch.float64), None if self.correct is None else self.correct.sum(-1))


@dataclass(frozen=True, kw_only=True)
class Loss(ABC):
    """Options of a loss function. Subclasses are frozen dataclasses; their fields are its configuration keys.

    The records' train_loss, val_loss and test_loss are means of this loss over the images of a split, with smoothing,
    without penalties. Compare losses only between runs with the same loss; accuracies mean the same under every loss.

    Members are ordered by group; the members of a group see the same images.

    Attributes:
        takes_numbers: whether the targets may be real numbers (regression) instead of labels.
    """

    takes_numbers: ClassVar[bool] = False

    def targets(self, labels: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
        """Turn labels into what :meth:`delta_` compares the outputs with: here 1 at the label, 0 elsewhere.

        Targets that are numbers already are what the outputs are compared with.

        Args:
            labels: ``(groups, images)``, or numbers ``(groups, images, outputs)``.
            classes: number of outputs.
            dtype: dtype of the outputs.

        Returns:
            Shape ``(groups, classes, images)``; ``(members, classes, images)`` from a loss with an option per member.
        """
        if labels.is_floating_point():
            return labels.mT.to(dtype)
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
            labels: ``(members, images)``, or numbers ``(members, images, outputs)``.

        Returns:
            Shape ``(members, images)``.
        """

    def score(self, logits: Tensor, labels: Tensor) -> Score:
        """Score every image.

        Args:
            logits: ``(members, classes, images)``.
            labels: ``(groups, images)``, or numbers ``(groups, images, outputs)``.

        Returns:
            Loss and correctness, ``(members, images)``.
        """
        of_member = labels[:, None].expand(-1, len(logits) // len(labels), *labels.shape[1:]).flatten(0, 1)
        correct = None if labels.is_floating_point() else logits.max(1).indices == of_member
        return Score(self.per_image(logits, of_member), correct)


def by_group(tensor: Tensor, groups: int) -> Tensor:
    """View ``(members, ...)`` as ``(groups, members per group, ...)``, so that it broadcasts with targets."""
    return tensor.view(groups, -1, *tensor.shape[1:])
