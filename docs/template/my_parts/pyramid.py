"""Fully connected networks whose layers halve in width."""

import math
from dataclasses import dataclass

from scaleinv.networks.base import Architecture
from scaleinv.networks.mlp import mlp
from scaleinv.symmetry.network import Network


@dataclass(frozen=True)
class Pyramid(Architecture):
    """Hidden widths ``width, width / 2, ...``, ``depth`` of them.

    Attributes:
        width: of the first hidden layer.
        depth: number of hidden layers.
    """

    width: int = 64
    depth: int = 3

    def __post_init__(self) -> None:
        """Check that every layer has a node."""
        if self.depth < 1 or self.width >> (self.depth - 1) < 1:
            raise ValueError(f"width {self.width} cannot be halved {self.depth - 1} times")

    def network(self, inputs: tuple[int, ...], outputs: int) -> Network:
        """Describe the chain; images are flattened."""
        return mlp((math.prod(inputs), *(self.width >> i for i in range(self.depth)), outputs))
