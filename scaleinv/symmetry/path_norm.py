"""Path norms: sums over all paths of a network, from one forward pass of one input of ones (maths.md, section 7)."""

import math

import torch
from torch import Tensor

from scaleinv.symmetry.graph import Weights
from scaleinv.symmetry.network import Network, UnsupportedNetworkError


def path_norm(network: Network, weights: Weights, p: float = 2.0) -> Tensor:
    """Compute ``(sum over paths of |v_p|^p)^(1/p)``; invariant under rescaling.

    Args:
        network: description of the network.
        weights: tensors ``(*members, own shape)``.
        p: exponent, greater than 0.

    Returns:
        The norm, shape ``(*members,)``.

    Raises:
        ValueError: p is not positive and finite.
    """
    return path_sum(network, weights, p) ** (1 / p)


def path_sum(network: Network, weights: Weights, p: float = 2.0) -> Tensor:
    """Compute ``sum over paths of |v_p|^p``, the p-th power of the path norm; differentiable.

    It is the sum of the outputs of the network with weights ``|w|^p`` at an input of ones (Neyshabur et al. 2015,
    section 4). Paths start at the inputs and at biases. Arguments and errors as in :func:`path_norm`.
    """
    if not (p > 0 and math.isfinite(p)):
        raise ValueError(f"p must be positive and finite, got {p}")
    require_chain(network)
    like = next(iter(weights.values()))
    x = torch.ones(*network.graph.members(weights), network.sizes[0], dtype=like.dtype, device=like.device)
    for layer in network.chain:
        x = times(_power(weights[layer.weight], p), x)
        if layer.bias is not None:
            x = x + _power(weights[layer.bias], p)
    return x.sum(-1)


def path_curvature(network: Network, weights: Weights) -> dict[str, Tensor]:
    """Compute ``kappa_e = 1/2 d^2/dw_e^2 sum over paths of v_p^2``, by which Path-SGD divides.

    A path uses a weight once, so ``kappa_e = d/d(w_e^2)`` of the path norm's square: for an edge u -> v the product of
    the squared paths from the inputs to u and of those from v to the outputs (Neyshabur et al. 2015, Path-SGD).

    Args:
        network: description of the network.
        weights: tensors ``(*members, own shape)``.

    Returns:
        One number per weight, by name, ``(*members, own shape)``; it may be a view.
    """
    require_chain(network)
    first, *rest = network.chain
    # An input of ones makes the first product a sum: one pass over the matrix that holds most of the weights.
    x = torch.linalg.vector_norm(weights[first.weight], dim=-1).square()
    reached = [x if first.bias is None else x + weights[first.bias].square()]
    squares = [weights[layer.weight].square() for layer in rest]
    for layer, square in zip(rest, squares, strict=True):
        x = times(square, reached[-1])
        reached.append(x if layer.bias is None else x + weights[layer.bias].square())
    onwards = torch.ones_like(reached[-1])
    curvature: dict[str, Tensor] = {}
    for layer, square, x in reversed(list(zip(rest, squares, reached[:-1], strict=True))):
        if layer.bias is not None:
            curvature[layer.bias] = onwards
        before = times(square.mT, onwards)
        curvature[layer.weight] = torch.mul(onwards.unsqueeze(-1), x.unsqueeze(-2), out=square)
        onwards = before
    if first.bias is not None:
        curvature[first.bias] = onwards
    curvature[first.weight] = onwards.unsqueeze(-1).expand_as(weights[first.weight])
    return {name: curvature[name] for name in weights}


def require_chain(network: Network) -> None:
    """Refuse networks that are no chain.

    Raises:
        UnsupportedNetworkError: the network is none.
    """
    if not network.chain:
        raise UnsupportedNetworkError("paths are summed only in chains of Linear layers so far")


def times(matrix: Tensor, vector: Tensor) -> Tensor:
    """Multiply stacked matrices by stacked vectors."""
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def _power(w: Tensor, p: float) -> Tensor:
    return w.square() if p == 2 else w.abs() ** p
