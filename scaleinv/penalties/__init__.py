"""Penalties: terms added to the loss; a configuration names them by their modules."""

from scaleinv.penalties.base import Penalty, Term
from scaleinv.penalties.l2_coords import L2Coords
from scaleinv.penalties.l2_weights import L2Weights

__all__ = ["L2Coords", "L2Weights", "Penalty", "Term"]
