"""Number formats of the weights that the network computes with; a configuration names one by its module."""

from scaleinv.numbers.base import Number
from scaleinv.numbers.float import FloatNumber
from scaleinv.numbers.psb import PSB

__all__ = ["PSB", "FloatNumber", "Number"]
