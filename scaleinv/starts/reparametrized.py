"""Rescale until one outgoing weight of every hidden node is +-1: the same function, out of balance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from scaleinv.starts.base import Start
from scaleinv.symmetry.graph import Weights
from scaleinv.symmetry.group import reparametrize
from scaleinv.symmetry.network import Network


@dataclass(frozen=True)
class ReparametrizedStart(Start):
    """The source's reparametrisation (thesis, 3.0.4 and 6.3.1); see :func:`scaleinv.symmetry.group.reparametrize`.

    Attributes:
        skeleton: name of the skeleton, or its explicit lists; see :func:`scaleinv.symmetry.skeleton.choose`.
    """

    skeleton: str | Mapping = "hungarian"

    def apply(self, network: Network, weights: Weights, seeds: Sequence[int]) -> dict[str, Tensor]:
        """Return the rescaled weights."""
        return reparametrize(network.graph, weights, self.skeleton)[0]
