"""Optimizers; a configuration names one by its module."""

from scaleinv.optim.adam import Adam
from scaleinv.optim.adamw import AdamW
from scaleinv.optim.base import IDENTITY, GradientTransformation, Optimizer, Point
from scaleinv.optim.rmsprop import RMSprop
from scaleinv.optim.sgd import SGD

__all__ = ["IDENTITY", "SGD", "Adam", "AdamW", "GradientTransformation", "Optimizer", "Point", "RMSprop"]
