"""Losses, and how images are scored; a configuration names one by its module."""

from scaleinv.losses.base import Loss, Score
from scaleinv.losses.cross_entropy import CrossEntropy
from scaleinv.losses.label_smoothing import LabelSmoothing
from scaleinv.losses.mean_squared_error import MeanSquaredError

__all__ = ["CrossEntropy", "LabelSmoothing", "Loss", "MeanSquaredError", "Score"]
