"""What a start is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from scaleinv.symmetry.graph import Graph, Weights


@dataclass(frozen=True)
class Start(ABC):
    """A map from freshly drawn weights to those that training starts from.

    Subclasses are frozen dataclasses; their fields are their configuration keys.
    """

    @abstractmethod
    def apply(self, graph: Graph, weights: Weights, seeds: Sequence[int]) -> dict[str, Tensor]:
        """Return the starting weights.

        Args:
            graph: graph of the network.
            weights: freshly drawn, tensors ``(members, own shape)``.
            seeds: one per member; all randomness depends on them alone.
        """
