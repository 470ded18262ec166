"""Random networks of two inputs and layers of one width (P 2.2.4)."""

import torch
from torch import Tensor

from scaleinv.networks.mlp import mlp
from scaleinv.symmetry.network import Network

# What P's batch norm takes its statistics from: it does not say; here standard normal points.
POINTS = 1000
EPSILON = 1e-5


def uniform_network(
    width: int, depth: int, seed: int, bias: float | None = None, shift: float | None = None
) -> tuple[Network, dict[str, Tensor]]:
    """Draw a network ``2 - width - ... - width - 1`` with weights from N(0, 2 / fan-in).

    Args:
        width: nodes per hidden layer.
        depth: number of hidden layers.
        seed: seed of the weights, the biases and the points.
        bias: bias of every hidden node; None draws PyTorch's uniform ones.
        shift: beta of a batch norm before every activation, whose statistics are those of standard normal points; they
            are frozen, and made a part of weights and biases. None is no batch norm.

    Returns:
        The network and its tensors, float64.
    """
    network = mlp((2, *[width] * depth, 1), bias=True)
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, Tensor] = {}
    points = torch.randn(POINTS, 2, generator=generator, dtype=torch.float64)
    for layer in network.chain:
        out, into = network.graph.shapes[layer.weight]
        weight = torch.randn(out, into, generator=generator, dtype=torch.float64) * (2 / into) ** 0.5
        drawn = (2 * torch.rand(out, generator=generator, dtype=torch.float64) - 1) / into**0.5
        offset = drawn if bias is None else torch.full_like(drawn, bias)
        values = points @ weight.T + offset
        if shift is not None and layer.slope is not None:
            deviation = (values.var(0, correction=0) + EPSILON).sqrt()
            weight, offset = weight / deviation[:, None], shift + (offset - values.mean(0)) / deviation
            values = points @ weight.T + offset
        assert layer.bias is not None
        tensors |= {layer.weight: weight, layer.bias: offset}
        points = values.relu()
    return network, tensors
