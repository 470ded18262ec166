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


@dataclass(frozen=True)
class Loss(ABC):
    """Options of a loss. Members are ordered by group; the members of a group see the same images."""

    @abstractmethod
    def targets(self, labels: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
        """Turn labels ``(groups, images)`` into what :meth:`delta_` compares with, ``(groups, classes, images)``."""

    @abstractmethod
    def delta_(self, logits: Tensor, targets: Tensor, out: Tensor) -> Tensor:
        """Compute the gradient of a batch's mean loss by the outputs.

        Args:
            logits: ``(members, classes, batch)``.
            targets: see :meth:`targets`.
            out: shaped as the logits; the result is written there.
        """

    @abstractmethod
    def score(self, logits: Tensor, labels: Tensor) -> Score:
        """Score every image.

        Args:
            logits: ``(members, classes, images)``.
            labels: ``(groups, images)``.

        Returns:
            Loss and correctness, ``(members, images)``.
        """
