"""Progressive stochastic binarization of the weights."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scaleinv.numbers._sampling import sample
from scaleinv.numbers.base import Draws, Number
from scaleinv.symmetry.graph import Graph, Weights
from scaleinv.symmetry.members import PerMember


@dataclass(frozen=True, kw_only=True)
class PSB(Number):
    """Every weight of a matrix or a convolution is ``s 2^e (1 + Bin(n, p) / n)``, drawn once per pass (P 4.2.1).

    Biases, and scales of a batch norm, are read as they are. A draw is shared by all images of a batch, and of a split
    that is scored.

    Attributes:
        samples: number n of samples, or one per member; a whole number from 1.
        bits: bits of the probability p; 0 for all that the dtype has. One bit rounds to powers of two.
    """

    can_be_captured: ClassVar[bool] = False
    samples: PerMember = 16.0
    bits: int = 0

    def __post_init__(self) -> None:
        """Check the numbers."""
        counts = torch.as_tensor(self.samples, dtype=torch.float64)
        if not bool((counts.isfinite() & (counts >= 1) & (counts == counts.round())).all()):
            raise ValueError(f"samples must be a whole number from 1, got {self.samples}")
        if not 0 <= self.bits <= 24:
            raise ValueError(f"bits must be from 1 to 24, or 0 for all, got {self.bits}")

    def read(self, graph: Graph, weights: Weights, draws: Draws) -> dict[str, Tensor]:
        """Draw every matrix and kernel, member by member; see :meth:`Number.read`."""
        counts = torch.as_tensor(self.samples).expand(len(draws.seeds)).tolist()
        read = {name: torch.empty_like(w) if len(graph.shapes[name]) > 1 else w for name, w in weights.items()}
        for i, n in enumerate(counts):
            generator = draws.generator(i, next(iter(weights.values())).device)
            for name, w in weights.items():
                if len(graph.shapes[name]) > 1:
                    read[name][i] = sample(w[i], int(n), generator, self.bits)
        return read
