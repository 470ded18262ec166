"""Rescale every hidden node at random: the same function, out of balance by a chosen amount."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scaleinv.starts.base import Start
from scaleinv.symmetry.graph import Graph, Weights
from scaleinv.symmetry.group import random_scales, rescale
from scaleinv.symmetry.members import PerMember
from scaleinv.symmetry.network import Network


@dataclass(frozen=True)
class RescaledStart(Start):
    """Rescale with ``lambda = exp(sigma N(0, 1))`` for every hidden node (maths.md, eq. 1).

    The draw from N(0, 1) depends on the seed, not on sigma, so runs that differ in sigma are paired.

    Attributes:
        sigma: spread of log lambda, or one per member; 0 changes nothing.
        powers_of_two: round each lambda to a power of two, which makes the rescaling exact in floating point: an
            invariant method then trains bit-identically; otherwise round-off would grow in a long run.
    """

    sigma: PerMember = 1.0
    powers_of_two: bool = False

    def __post_init__(self) -> None:
        """Check the range."""
        sigmas = torch.as_tensor(self.sigma)
        if not ((sigmas >= 0) & sigmas.isfinite()).all():
            raise ValueError(f"sigma must be at least 0 and finite, got {self.sigma}")

    def apply(self, network: Network, weights: Weights, seeds: Sequence[int]) -> dict[str, Tensor]:
        """Return the rescaled weights."""
        some = next(iter(weights.values()))
        sigmas = self.sigma.tolist() if isinstance(self.sigma, Tensor) else [self.sigma] * len(seeds)
        drawn = {
            pair: self._draw(network.graph, *pair, some.dtype)
            for pair in dict.fromkeys(zip(seeds, sigmas, strict=True))
        }
        scales = torch.stack([drawn[pair] for pair in zip(seeds, sigmas, strict=True)])
        return rescale(network.graph, weights, scales.to(some.device))

    def _draw(self, graph: Graph, seed: int, sigma: float, dtype: torch.dtype) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return random_scales(graph, sigma, self.powers_of_two, generator, dtype)
