"""The extrinsic projection: what a ReLU does, as a deformation of input space (P A.2)."""

import torch
from torch import Tensor, nn

from scaleinv.symmetry.network import UnsupportedNetworkError

# Singular values below this share of the largest count as zero in a pseudo-inverse.
RCOND = 1e-6


def project(model: nn.Sequential, images: Tensor, rcond: float = RCOND) -> list[Tensor]:
    """Project what every layer returns back into input space.

    With u = ReLU(z_l), layer by layer ``u <- (u - b_k) W_k^+`` for k = l, ..., 1 (Def. 7 and 9, with biases). The last
    layer is put through a ReLU too, as in Fig. A.7. Where the columns of W (its filters) are independent nothing is
    lost (lemma 3); where W has full row rank, points that no ReLU touches stay where they are (lemma 1). Both hold
    together only for square matrices.

    Args:
        model: Linear layers with ReLUs between them, and nothing else.
        images: inputs ``(points, features)``.
        rcond: see ``RCOND``.

    Returns:
        For each layer the points in input space, ``(points, features)``.

    Raises:
        UnsupportedNetworkError: the model has other parts.
    """
    layers = _layers(model)
    inverses = [torch.linalg.pinv(layer.weight.detach().mT, rtol=rcond) for layer in layers]
    placed, x = [], images
    for depth, layer in enumerate(layers):
        x = torch.relu(layer(x)).detach()
        u = x
        for k in range(depth, -1, -1):
            bias = layers[k].bias
            u = (u if bias is None else u - bias.detach()) @ inverses[k]
        placed.append(u)
    return placed


def condition_numbers(model: nn.Sequential) -> list[float]:
    """Return the condition number of every layer's matrix; a projection through a large one means little.

    Raises:
        UnsupportedNetworkError: the model is more than Linear layers and ReLUs.
    """
    return [float(torch.linalg.cond(layer.weight.detach())) for layer in _layers(model)]


def _layers(model: nn.Sequential) -> list[nn.Linear]:
    layers = [part for part in model if isinstance(part, nn.Linear)]
    others = [part for part in model if not isinstance(part, nn.Linear | nn.ReLU)]
    if others or not layers:
        what = type(others[0]).__name__ if others else "no Linear layer"
        raise UnsupportedNetworkError(f"only Linear layers and ReLUs are projected, the model has {what}")
    return layers
