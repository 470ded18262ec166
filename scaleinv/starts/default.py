"""Start from the weights as they are drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from scaleinv.starts.base import Start
from scaleinv.symmetry.graph import Weights
from scaleinv.symmetry.network import Network


@dataclass(frozen=True)
class DefaultStart(Start):
    """The initialisation, unchanged."""

    def apply(self, network: Network, weights: Weights, seeds: Sequence[int]) -> dict[str, Tensor]:
        """Return the weights."""
        return dict(weights)
