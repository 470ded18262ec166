"""Networks as functions of a named weight dict (thesis, eq. 1.1)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scaleinv.symmetry.graph import Graph, Weights

LinearMap = tuple[int, int, bool, float | None]


class UnsupportedNetworkError(ValueError):
    """The model has a part that no description covers; the message names it and says why."""


@dataclass(frozen=True)
class Layer:
    """One affine map and the activation behind it.

    Attributes:
        weight: name of the matrix, own shape ``(out, in)``.
        bias: name of the bias, own shape ``(out,)``, or None.
        slope: slope of the activation below zero (0 is ReLU), or None for no activation.
    """

    weight: str
    bias: str | None
    slope: float | None


@dataclass(frozen=True)
class Network:
    """A chain of affine maps and positively homogeneous activations.

    Attributes:
        layers: the maps, from the inputs to the outputs.
        graph: the channel classes and edges of the chain.
    """

    layers: tuple[Layer, ...]
    graph: Graph

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of inputs, of each layer's hidden nodes, and of outputs."""
        shapes = [self.graph.shapes[layer.weight] for layer in self.layers]
        return (shapes[0][1], *(shape[0] for shape in shapes))

    def forward(self, weights: Weights, images: Tensor) -> Tensor:
        """Compute ``x_l = sigma(W_l x_{l-1} + b_l)`` (thesis, eq. 1.1).

        Args:
            weights: tensors ``(*members, out, in)`` and ``(*members, out)``.
            images: inputs ``(*members, batch, in)``, or ``(batch, in)`` for all members.

        Returns:
            Outputs ``(*members, batch, out)``.
        """
        x = images
        for layer in self.layers:
            x = x @ weights[layer.weight].mT
            if layer.bias is not None:
                x = x + weights[layer.bias].unsqueeze(-2)
            if layer.slope is not None:
                x = activation(x, layer.slope)
        return x

    def init(self, seeds: Sequence[int], dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        """Draw PyTorch's default initialisation, one member a seed.

        Args:
            seeds: one seed a member; equal seeds give equal members.
            dtype: of the weights; the draw itself is always float32.

        Returns:
            Weights ``(members, ...)``.
        """
        drawn = {seed: self._draw(seed) for seed in dict.fromkeys(seeds)}
        return {name: torch.stack([drawn[seed][name] for seed in seeds]).to(dtype) for name in self.graph.shapes}

    def module(self) -> nn.Sequential:
        """Build the plain ``nn.Module`` of this network, with fresh PyTorch initialisation."""
        maps: list[LinearMap] = [
            (into, out, layer.bias is not None, layer.slope)
            for layer, into, out in zip(self.layers, self.sizes, self.sizes[1:], strict=False)
        ]
        return sequential(maps)

    def _draw(self, seed: int) -> dict[str, Tensor]:
        with torch.random.fork_rng(devices=[]):
            torch.random.default_generator.manual_seed(seed)
            values = [p.detach() for p in self.module().parameters()]
        names = [name for layer in self.layers for name in (layer.weight, layer.bias) if name is not None]
        return dict(zip(names, values, strict=True))


def activation(x: Tensor, slope: float) -> Tensor:
    """Compute ``max(x, 0) + slope * min(x, 0)``: ReLU for slope 0, else LeakyReLU (thesis, eq. 1.5, 1.6)."""
    return torch.relu(x) if slope == 0 else nn.functional.leaky_relu(x, slope)


def sequential(maps: Sequence[LinearMap]) -> nn.Sequential:
    """Build a chain from (inputs, outputs, bias, slope or None) quadruples."""
    parts: list[nn.Module] = []
    for into, out, bias, slope in maps:
        parts.append(nn.Linear(into, out, bias=bias))
        if slope is not None:
            parts.append(nn.ReLU() if slope == 0 else nn.LeakyReLU(slope))
    return nn.Sequential(*parts)
