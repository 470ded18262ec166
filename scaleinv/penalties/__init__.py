"""Penalties: terms added to the loss; a configuration names them by their modules."""

from scaleinv.penalties.base import Penalty, Term
from scaleinv.penalties.l2_coords import L2Coords
from scaleinv.penalties.l2_weights import L2Weights
from scaleinv.penalties.path_norm import PathNormPenalty
from scaleinv.penalties.repulsion_balanced import RepulsionBalanced
from scaleinv.penalties.repulsion_cycle import RepulsionCycle
from scaleinv.penalties.repulsion_function import RepulsionFunction
from scaleinv.penalties.repulsion_weights import RepulsionWeights
from scaleinv.penalties.soft_balance import SoftBalance

__all__ = [
    "L2Coords",
    "L2Weights",
    "PathNormPenalty",
    "Penalty",
    "RepulsionBalanced",
    "RepulsionCycle",
    "RepulsionFunction",
    "RepulsionWeights",
    "SoftBalance",
    "Term",
]
