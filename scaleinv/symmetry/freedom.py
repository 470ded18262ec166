"""Degrees of freedom of a network at its weights: ranks of the path Jacobian and of the outputs' Jacobian.

P4, section 7; maths.md, section 7.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from scaleinv.symmetry.graph import Weights
from scaleinv.symmetry.network import Network
from scaleinv.symmetry.path_norm import path_sum

# Largest number of weights for which a dense matrix over pairs of weights is made.
LIMIT = 4000


def path_gram(network: Network, weights: Weights) -> Tensor:
    """Compute ``J^T J`` of the path Jacobian ``J = d pi_p / d w_e`` without listing a path, ``(m, m)``.

    A path uses a weight at most once, so the squared path norm has the second derivatives ``2 J_e . J_e`` on the
    diagonal and ``4 J_e . J_f`` off it.

    Args:
        network: description of the network.
        weights: tensors of one member, ``(own shape)``, in float64.

    Raises:
        UnsupportedNetworkError: no path norm is defined through an operation.
        ValueError: the matrix would have more than ``LIMIT`` rows.
    """
    m = sum(w.numel() for w in weights.values())
    if m > LIMIT:
        raise ValueError(f"the Gram matrix of {m} weights is too large; where no weight is zero its rank is m - K")
    shapes = {name: w.shape for name, w in weights.items()}
    if not network.chain:
        _ = network.program  # traced before it is differentiated

    def of_vector(vector: Tensor) -> Tensor:
        parts = vector.split([shape.numel() for shape in shapes.values()])
        return path_sum(network, {n: p.view(s) for (n, s), p in zip(shapes.items(), parts, strict=True)})

    flat = torch.cat([w.flatten() for w in weights.values()])
    hessian = torch.autograd.functional.hessian(of_vector, flat, vectorize=True)
    return hessian / 4 + torch.diag(hessian.diagonal() / 4)


def path_rank(network: Network, weights: Weights, tolerance: float = 1e-10) -> int:
    """Return the rank of the path Jacobian at the weights of one member.

    Where no weight is zero it is m - K (P4, theorem 4).

    Args:
        network: description of the network.
        weights: tensors of one member, ``(own shape)``, in float64.
        tolerance: eigenvalues below this share of the largest count as zero. The matrix is first scaled to a unit
            diagonal, which changes no rank.
    """
    gram = path_gram(network, weights)
    used = gram.diagonal() > 0
    gram = gram[used][:, used]
    root = gram.diagonal().rsqrt()
    eigenvalues = torch.linalg.eigvalsh(root[:, None] * gram * root)
    return int((eigenvalues > tolerance * eigenvalues.max()).sum()) if len(eigenvalues) else 0


def data_ranks(
    network: Network, weights: Weights, images: Tensor, counts: Sequence[int], tolerance: float = 1e-12
) -> Iterator[int]:
    """Yield the rank of ``d outputs / d weights`` on the first n images, for every n: the data-dependent freedom.

    It is at most the rank of the path Jacobian (P4, theorem 3). The rank of the Gram matrix of the gradients, of size
    n times outputs, is computed, so any number of weights will do.

    Args:
        network: description of the network.
        weights: tensors of one member, ``(own shape)``, in float64.
        images: ``(n, features)`` in float64.
        counts: numbers of images.
        tolerance: eigenvalues below this share of the largest count as zero.
    """
    network.forward(weights, images[:1])  # makes the module, which cannot be made while it is differentiated
    rows = []
    for image in images[: max(counts)].split(1):
        jacobians = torch.func.jacrev(lambda w, image=image: network.forward(w, image)[0])(dict(weights))
        rows.append(torch.cat([part.flatten(1) for part in jacobians.values()], 1))
    for n in counts:
        part = torch.cat(rows[:n])
        eigenvalues = torch.linalg.eigvalsh(part @ part.T)
        yield int((eigenvalues > tolerance * eigenvalues.max()).sum())
