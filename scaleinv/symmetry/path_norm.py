"""The l2 path norm, an invariant of the rescaling group."""

import torch
from torch import Tensor

from scaleinv.symmetry.graph import Weights
from scaleinv.symmetry.network import Network


def path_norm(network: Network, weights: Weights) -> Tensor:
    """Compute ``sqrt(sum over paths of v_p^2)``, the l2 path norm; invariant under rescaling.

    The squares of all path values add up to the output of the network of squared weights at an all-ones input
    (Neyshabur et al. 2015, section 4). Paths start at the inputs and at biases.

    Returns:
        The norm, shape ``(*members,)``.
    """
    x = torch.ones(
        network.sizes[0], dtype=next(iter(weights.values())).dtype, device=next(iter(weights.values())).device
    )
    for layer in network.chain:
        x = (weights[layer.weight].square() @ x[..., None])[..., 0]
        if layer.bias is not None:
            x = x + weights[layer.bias].square()
    return x.sum(-1).sqrt()
