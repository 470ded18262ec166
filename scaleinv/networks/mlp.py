"""Fully connected networks."""

from collections.abc import Sequence

import torch

from scaleinv.symmetry.network import LinearMap, Network, sequential
from scaleinv.symmetry.trace import describe


def mlp(sizes: Sequence[int], bias: bool = False, negative_slope: float = 0.0) -> Network:
    """Describe a fully connected network.

    Args:
        sizes: inputs, hidden widths, outputs, e.g. ``(784, 64, 64, 64, 64, 10)``.
        bias: whether every layer has one.
        negative_slope: slope of the hidden activations below zero; 0 is ReLU.

    Returns:
        The network; the parameters have the names that ``nn.Sequential`` gives them.
    """
    if len(sizes) < 2:
        raise ValueError(f"a network needs at least inputs and outputs, got sizes {tuple(sizes)}")
    slopes: list[float | None] = [negative_slope] * (len(sizes) - 2) + [None]
    maps: list[LinearMap] = [
        (into, out, bias, slope) for into, out, slope in zip(sizes[:-1], sizes[1:], slopes, strict=True)
    ]
    with torch.device("meta"):
        model = sequential(maps)
    return describe(model)
