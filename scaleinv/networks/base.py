"""What an architecture is."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from scaleinv.symmetry.network import Network


@dataclass(frozen=True)
class Architecture(ABC):
    """Options of a network. Subclasses are frozen dataclasses; their fields are its configuration keys."""

    @abstractmethod
    def network(self, inputs: tuple[int, ...], outputs: int) -> Network:
        """Describe the network between a data set's inputs and classes.

        Args:
            inputs: shape of one input, ``(channels, height, width)`` for images, ``(features,)`` for vectors.
            outputs: number of classes, or of predicted values.

        Raises:
            ValueError: there is no such network for these inputs; the message says why.
        """
