"""Start from the gauge in which the path metric is closest to a multiple of the identity."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from scaleinv.starts.base import Start
from scaleinv.symmetry.graph import Weights
from scaleinv.symmetry.network import Network
from scaleinv.symmetry.pathcond import condition


@dataclass(frozen=True)
class PathCondStart(Start):
    """PathCond (Lebeurrier et al. 2026), solved for all members at once; the function stays in evaluation mode.

    In networks with batch norm the parameters of batch norm are rescaled like any other: the description says which
    classes there are, and what they compute in training mode stays too.
    """

    def apply(self, network: Network, weights: Weights, seeds: Sequence[int]) -> dict[str, Tensor]:
        """Return the rescaled weights; see :func:`scaleinv.symmetry.pathcond.condition`."""
        return condition(network, weights)
