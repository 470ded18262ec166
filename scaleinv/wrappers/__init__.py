"""Spaces for a model and a training loop of your own: three thin layers around a chart.

They take the models that :func:`scaleinv.symmetry.trace.describe` covers; for others the error names the part.
"""

from scaleinv.wrappers.fix import fix_weights
from scaleinv.wrappers.module import SpaceModule
from scaleinv.wrappers.optimizer import SpaceOptimizer

__all__ = ["SpaceModule", "SpaceOptimizer", "fix_weights"]
