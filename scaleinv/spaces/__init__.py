"""Parameter spaces; a configuration names one by its module."""

from scaleinv.spaces.base import Chart, ParameterSpace, Support, UnsupportedSpaceError
from scaleinv.spaces.cycle import CycleSpace
from scaleinv.spaces.fixed import FixedWeightSpace
from scaleinv.spaces.gspace import GSpace
from scaleinv.spaces.weight import WeightSpace

__all__ = [
    "Chart",
    "CycleSpace",
    "FixedWeightSpace",
    "GSpace",
    "ParameterSpace",
    "Support",
    "UnsupportedSpaceError",
    "WeightSpace",
]
