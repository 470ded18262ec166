"""Degrees of freedom of a network at its weights: ranks of the path Jacobian and of the outputs' Jacobian.

P4, section 7; maths.md, section 7.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from scaleinv.symmetry.balance import alive
from scaleinv.symmetry.graph import Weights
from scaleinv.symmetry.network import Network
from scaleinv.symmetry.orbit import along_orbit
from scaleinv.symmetry.path_norm import path_curvature, path_sum

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
        raise ValueError(f"the Gram matrix of {m} weights is too large; probed_path_rank needs none")
    hessian = torch.autograd.functional.hessian(_of_vector(network, weights), _flat(weights), vectorize=True)
    return hessian / 4 + torch.diag(hessian.diagonal() / 4)


def _flat(tensors: Weights) -> Tensor:
    return torch.cat([t.flatten() for t in tensors.values()])


def _named(vector: Tensor, like: Weights) -> dict[str, Tensor]:
    parts = vector.split([w.numel() for w in like.values()])
    return {name: part.view(like[name].shape) for name, part in zip(like, parts, strict=True)}


def _of_vector(network: Network, like: Weights) -> Callable[[Tensor], Tensor]:
    """Return the squared path norm as a function of all weights in a row."""
    if not network.chain:
        _ = network.program  # traced before it is differentiated
    buffers = network.buffers(1, torch.float64)

    def squared(vector: Tensor) -> Tensor:
        stacked = {name: w[None] for name, w in _named(vector, like).items()}
        return path_sum(network, stacked, buffers=buffers)[0]

    return squared


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


class ProbedRank(NamedTuple):
    """A rank that random probes have found.

    Attributes:
        rank: the rank; it is certain that it is not larger.
        error: bound on the probability that it is smaller.
        steps: number of products with the Gram matrix that the probes took.
    """

    rank: int
    error: float
    steps: int


def probed_path_rank(
    network: Network,
    weights: Weights,
    probes: int = 2,
    generator: torch.Generator | None = None,
    tolerance: float = 1e-3,
    steps: int = 500,
) -> ProbedRank:
    """Return the rank of the path Jacobian J at the weights of one member, for networks of any size.

    Its entries are ``pi_p / w_e``, so where no weight is zero it is a matrix of zeros and ones with rows and columns
    multiplied by numbers: its rank does not depend on the weights, and they are replaced by others of the same signs
    for which ``J^T J`` is well conditioned. The orbit's tangents, one per hidden channel with a path through it, are
    independent and in the kernel, which bounds the rank from above. If anything else were in the kernel, a random
    normal vector orthogonal to the tangents would have a normal part in it, which conjugate gradients on
    ``J^T J x = b`` never reduce: what they leave of b is at least ``|z|``, z normal. It falls below the tolerance with
    probability ``tolerance sqrt(2 / pi)`` at most, in all probes with its power.

    Weights that no path of non-zero weights leads through count for nothing; a zero that is the only one on some path
    is a column of its own.

    Args:
        network: description of the network.
        weights: tensors of one member, ``(own shape)``.
        probes: number of random vectors.
        generator: source of randomness, on the CPU.
        tolerance: what may be left of a vector of standard normal numbers.
        steps: largest number of products with ``J^T J`` for each probe.

    Raises:
        UnsupportedNetworkError: no path norm is defined through an operation.
        RuntimeError: conjugate gradients do not reach the tolerance: the kernel is larger than the orbit, or J is too
            ill-conditioned to tell.
    """
    curvature = _curvature(network, weights)
    alone = sum(int(((w == 0) & (curvature[n] > 0)).sum()) for n, w in weights.items())
    even = {n: w.sign().double() / max(1, w[0].numel()) ** 0.5 for n, w in weights.items()}
    kappa = _flat(_curvature(network, even))
    is_used = (_flat(even) != 0) & (kappa > 0)
    scale = torch.where(is_used, kappa, 1.0).rsqrt() * is_used
    slope_at = _flat(even).requires_grad_()
    slope = torch.autograd.grad(_of_vector(network, even)(slope_at), slope_at, create_graph=True)[0]

    def gram(x: Tensor) -> Tensor:
        """Multiply by J^T J with rows and columns scaled to a unit diagonal; see :func:`path_gram`."""
        x = scale * x
        (twice,) = torch.autograd.grad(slope, slope_at, x, retain_graph=True)
        return scale * (twice / 4 + kappa * x / 2)

    # In scaled coordinates the tangents are those at sqrt(kappa) w.
    at = _named(kappa.sqrt() * _flat(even) * is_used, even)

    def across(x: Tensor) -> Tensor:
        return x - _flat(along_orbit(network.graph, at, _named(x, even)))

    taken = 0
    for _ in range(probes):
        b = across(torch.randn(len(scale), dtype=torch.float64, generator=generator).to(scale) * is_used)
        taken += _solve(gram, across, b, tolerance, steps)
    moving = int(alive(network.graph, at)[..., 1:].sum())
    return ProbedRank(int(is_used.sum()) - moving + alone, (tolerance * math.sqrt(2 / math.pi)) ** probes, taken)


def _curvature(network: Network, weights: Weights) -> dict[str, Tensor]:
    stacked = {name: w[None].double() for name, w in weights.items()}
    buffers = network.buffers(1, torch.float64)
    return {name: k[0] for name, k in path_curvature(network, stacked, buffers).items()}


def _solve(
    matrix: Callable[[Tensor], Tensor], project: Callable[[Tensor], Tensor], b: Tensor, tolerance: float, steps: int
) -> int:
    """Reduce ``b - matrix x`` to a norm of ``tolerance`` by conjugate gradients; return the number of products."""
    rest, size = b, b @ b
    towards = rest
    for step in range(steps):
        if size <= tolerance**2:
            return step
        image = matrix(towards)
        # Round-off would let the known part of the kernel grow.
        rest = project(rest - size / (towards @ image) * image)
        size, before = rest @ rest, size
        towards = rest + size / before * towards
    raise RuntimeError(
        f"conjugate gradients have not converged after {steps} steps: the kernel of the path Jacobian is larger than"
        " the tangents of the orbit, or the Jacobian is too ill-conditioned to tell"
    )


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
