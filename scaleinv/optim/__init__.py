"""Optimizers; a configuration names one by its module."""

from scaleinv.optim.adam import Adam
from scaleinv.optim.adamw import AdamW
from scaleinv.optim.base import GradientTransformation, Optimizer
from scaleinv.optim.rmsprop import RMSprop
from scaleinv.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "GradientTransformation", "Optimizer", "RMSprop"]
