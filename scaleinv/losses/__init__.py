"""Losses: what is minimised, and how an image is scored."""

from scaleinv.losses.base import Loss, Score
from scaleinv.losses.cross_entropy import CrossEntropy

__all__ = ["CrossEntropy", "Loss", "Score"]
