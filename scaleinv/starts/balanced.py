"""Start from the balanced gauge of the drawn network."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from scaleinv.starts.base import Start
from scaleinv.symmetry.balance import balance
from scaleinv.symmetry.graph import Weights
from scaleinv.symmetry.network import Network


@dataclass(frozen=True)
class BalancedStart(Start):
    """Rescale until every hidden node has as large a sum of squares in as out; the function stays (maths.md, 2.4)."""

    def apply(self, network: Network, weights: Weights, seeds: Sequence[int]) -> dict[str, Tensor]:
        """Return the balanced weights; nodes through which nothing flows keep their scale."""
        return balance(network.graph, weights, dead="keep")
