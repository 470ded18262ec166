"""What a start is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from scaleinv.symmetry.graph import Weights
from scaleinv.symmetry.network import Network


@dataclass(frozen=True)
class Start(ABC):
    """A map from freshly drawn weights to those that training starts from.

    Subclasses are frozen dataclasses; their fields are their configuration keys.
    """

    @abstractmethod
    def apply(self, network: Network, weights: Weights, seeds: Sequence[int]) -> dict[str, Tensor]:
        """Return the starting weights.

        Args:
            network: description of the network, on the device of the weights.
            weights: freshly drawn, tensors ``(members, own shape)``.
            seeds: one per member; all randomness depends on them alone.
        """
