"""Fully connected networks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from scaleinv.networks.base import Architecture
from scaleinv.symmetry.network import LinearMap, Network, sequential
from scaleinv.symmetry.trace import describe


@dataclass(frozen=True)
class MLP(Architecture):
    """A chain of Linear layers with ReLU or LeakyReLU between them (thesis, eq. 1.1); images are flattened.

    Attributes:
        hidden: widths of the hidden layers.
        bias: whether every layer has a bias.
        negative_slope: slope of the hidden activations below zero; 0 is ReLU.
    """

    hidden: list[int]
    bias: bool = False
    negative_slope: float = 0.0

    def __post_init__(self) -> None:
        """Check the widths and the slope."""
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"a hidden layer needs a node, got network.hidden={self.hidden}")
        if not math.isfinite(self.negative_slope):
            raise ValueError(f"network.negative_slope must be finite, got {self.negative_slope}")

    def network(self, inputs: tuple[int, ...], outputs: int) -> Network:
        """Describe the chain; see :meth:`Architecture.network`."""
        return mlp((math.prod(inputs), *self.hidden, outputs), self.bias, self.negative_slope)


def mlp(sizes: Sequence[int], bias: bool = False, negative_slope: float = 0.0) -> Network:
    """Describe a fully connected network.

    Args:
        sizes: numbers of inputs, of nodes per hidden layer, and of outputs, e.g. ``(784, 64, 64, 64, 64, 10)``.
        bias: whether every layer has a bias.
        negative_slope: slope of the hidden activations below zero; 0 is ReLU.

    Returns:
        The network; the parameters have the names that ``nn.Sequential`` gives them.

    Raises:
        ValueError: fewer than two sizes.
    """
    if len(sizes) < 2:
        raise ValueError(f"a network needs at least inputs and outputs, got sizes {tuple(sizes)}")
    slopes: list[float | None] = [negative_slope] * (len(sizes) - 2) + [None]
    maps: list[LinearMap] = [
        (into, out, bias, slope) for into, out, slope in zip(sizes[:-1], sizes[1:], slopes, strict=True)
    ]
    with torch.device("meta"):
        model = sequential(maps)
    return replace(describe(model), make=partial(sequential, maps))
