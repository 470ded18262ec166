"""Spaces for a model and a training loop of your own: three thin shells over a chart.

They take what :func:`scaleinv.symmetry.trace.describe` covers, and refuse everything else by name.
"""

from scaleinv.wrappers.fix import fix_weights
from scaleinv.wrappers.module import SpaceModule
from scaleinv.wrappers.optimizer import SpaceOptimizer

__all__ = ["SpaceModule", "SpaceOptimizer", "fix_weights"]
