"""Rescale every hidden node at random: the same function, out of balance by a chosen amount."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scaleinv.starts.base import Start
from scaleinv.symmetry.graph import Graph, Weights
from scaleinv.symmetry.group import random_scales, rescale


@dataclass(frozen=True)
class RescaledStart(Start):
    """Rescale with ``lambda = exp(sigma N(0, 1))`` for every hidden node (maths.md, eq. 1).

    One draw of the N(0, 1) belongs to a seed, whatever sigma, so runs that differ in sigma are paired.

    Attributes:
        sigma: spread of log lambda; 0 changes nothing.
        powers_of_two: round each lambda to a power of two, which makes the rescaling exact in floating point: an
            invariant method then trains bit for bit the same, where round-off would grow in a long run.
    """

    sigma: float = 1.0
    powers_of_two: bool = False

    def __post_init__(self) -> None:
        """Check the range."""
        if not 0 <= self.sigma < float("inf"):
            raise ValueError(f"sigma must be at least 0 and finite, got {self.sigma}")

    def apply(self, graph: Graph, weights: Weights, seeds: Sequence[int]) -> dict[str, Tensor]:
        """Return the rescaled weights."""
        some = next(iter(weights.values()))
        drawn = {seed: self._draw(graph, seed, some.dtype) for seed in dict.fromkeys(seeds)}
        return rescale(graph, weights, torch.stack([drawn[seed] for seed in seeds]).to(some.device))

    def _draw(self, graph: Graph, seed: int, dtype: torch.dtype) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return random_scales(graph, self.sigma, self.powers_of_two, generator, dtype)
