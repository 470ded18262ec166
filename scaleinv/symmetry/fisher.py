"""The diagonal of the Fisher information matrix (maths.md, section 7)."""

import torch
from torch import Tensor

from scaleinv.symmetry.complexity import SECOND_MOMENT, Complexity
from scaleinv.symmetry.graph import Weights
from scaleinv.symmetry.network import Network

GAUSSIAN, SOFTMAX = LIKELIHOODS = ("gaussian", "softmax")


def fisher_diagonal(
    network: Network, weights: Weights, images: Tensor, likelihood: str, buffers: Weights | None = None
) -> dict[str, Tensor]:
    """Compute ``E_x E_{y ~ q(y|x)} (d log q / dw_e)^2`` exactly, from one backward pass per output.

    Args:
        network: description of the network.
        weights: tensors ``(members, own shape)``.
        images: ``(groups, batch, features)``, whose mean is E_x; members are split evenly over the groups.
        likelihood: q, ``gaussian`` with mean f(x) and variance 1, or ``softmax`` with logits f(x) (Neyshabur et al.
            2016, eq. 19 and 35).
        buffers: running statistics, ``(members, own shape)`` by name; as freshly made if left out.

    Returns:
        One number per weight, by name, ``(members, own shape)``.
    """
    samples = Complexity(1.0, SECOND_MOMENT).samples(network, weights, images, buffers)
    q = samples.outputs.softmax(-1)
    eye = torch.eye(q.shape[-1], dtype=q.dtype, device=q.device)[:, None]
    if likelihood == GAUSSIAN:
        return samples.curvature(rays=eye.expand(len(q), -1, *q.shape[1:]))
    # E_y (d log q(y) / df) (d log q(y) / df)^T = sum_c q_c (e_c - q) (e_c - q)^T: one ray per class.
    return samples.curvature(rays=q.sqrt().mT.unsqueeze(-1) * (eye - q.unsqueeze(1)))
