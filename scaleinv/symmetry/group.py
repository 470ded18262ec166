"""The rescaling group and its gauges: other weights of the same function (maths.md, section 1 and 2.4)."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from scaleinv.symmetry.graph import Graph, Weights
from scaleinv.symmetry.skeleton import Skeleton, choose


def rescale(graph: Graph, weights: Weights, scales: Tensor) -> dict[str, Tensor]:
    """Apply ``w_e -> w_e * lambda_head(e) / lambda_tail(e)`` (maths.md, eq. 1); the function stays the same.

    Args:
        graph: graph of the network.
        weights: tensors ``(*members, own shape)``.
        scales: positive ``lambda_1..lambda_K``, shape ``(K,)`` or ``(*members, K)``. Powers of two are exact.

    Returns:
        The rescaled weights.
    """
    scales = torch.nn.functional.pad(scales, (1, 0), value=1.0)
    return {
        name: w * graph.edges[name].at_heads(scales) / graph.edges[name].at_tails(scales) for name, w in weights.items()
    }


def rescale_(graph: Graph, tensors: Weights, scales: Tensor, power: int = 1) -> None:
    """Multiply tensors by ``(lambda_head / lambda_tail)^power`` in place.

    Power 1 is :func:`rescale`, for weights; -1 is how gradients follow, -2 how their squares do.

    Args:
        graph: graph of the network.
        tensors: ``(*members, own shape)`` by the names of the weights.
        scales: positive, float64, ``(*members, K)``.
        power: the exponent.
    """
    scales = torch.nn.functional.pad(scales, (1, 0), value=1.0) ** power
    for name, t in tensors.items():
        edges = graph.edges[name]
        t.mul_(edges.at_heads(scales).to(t.dtype)).div_(edges.at_tails(scales).to(t.dtype))


def random_scales(
    graph: Graph,
    sigma: float = 1.0,
    powers_of_two: bool = False,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """Draw ``lambda_c = exp(sigma N(0, 1))`` for every hidden channel.

    Args:
        graph: graph of the network.
        sigma: spread of ``log lambda``; 0 gives ones.
        powers_of_two: round ``log2 lambda`` to whole numbers, which makes rescaling exact in floating point.
        generator: source of randomness.
        dtype: dtype of the result.

    Returns:
        Scales, shape ``(K,)``.
    """
    logs = sigma * torch.randn(graph.hidden, dtype=torch.float64, generator=generator)
    if powers_of_two:
        return torch.exp2((logs / torch.log(torch.tensor(2.0))).round()).to(dtype)
    return logs.exp().to(dtype)


def to_gauge(graph: Graph, weights: Weights, skeleton: Skeleton, targets: Sequence[Tensor]) -> dict[str, Tensor]:
    """Rescale so that the skeleton's out-edges get the magnitudes of ``targets``; signs and the function stay.

    ``lambda_c = |S_c| / |S_c(targets)|`` with the suffix S (maths.md, theorem 4).

    Args:
        graph: graph of the network.
        weights: tensors ``(*members, own shape)``.
        skeleton: skeleton with non-zero weights at its out-edges.
        targets: magnitudes for the out-edges, one tensor ``(*members, n)`` per pick; their signs are ignored.

    Returns:
        The rescaled weights.
    """
    return rescale(graph, weights, skeleton.suffix_ratio(graph, weights, targets).abs()[..., 1:])


def to_unit_gauge(graph: Graph, weights: Weights, skeleton: Skeleton) -> dict[str, Tensor]:
    """Rescale so that every out-edge of the skeleton is exactly +-1: :func:`to_gauge` with ``lambda_c = |S_c|``.

    Raises:
        ValueError: an out-edge is zero, or the rescaled weights leave the range of their dtype.
    """
    require_nonzero(graph, weights, skeleton)
    scales = skeleton.suffix(graph, weights).abs()
    require_range(scales)
    rescaled = rescale(graph, weights, scales[..., 1:])
    require_finite(rescaled)
    return rescaled


def reparametrize(
    graph: Graph, weights: Weights, choice: str | Mapping = "default"
) -> tuple[dict[str, Tensor], Skeleton]:
    """Rescale a network so that one outgoing weight of every hidden node is +-1 (thesis, 3.0.4 and 6.3.1).

    Args:
        graph: graph of the network.
        weights: tensors ``(*members, own shape)``.
        choice: ``default`` (the diagonal), ``hungarian`` (the source's matching), ``log_hungarian``,
            ``maxprod``, or an explicit skeleton.

    Returns:
        The rescaled weights, with +-1 at the skeleton's out-edges, and the skeleton.

    Raises:
        ValueError: a weight is not finite, a chosen one is zero, or products of them leave the range of the dtype.
    """
    require_finite(weights)
    skeleton = choose(choice, graph, weights)
    return to_unit_gauge(graph, weights, skeleton), skeleton


def require_nonzero(graph: Graph, weights: Weights, skeleton: Skeleton) -> None:
    """Raise if a fixed weight of the skeleton is zero, which no rescaling changes.

    Raises:
        ValueError: naming the tensor.
    """
    for pick in skeleton.out:
        if not pick.read(weights[pick.name]).all():
            raise ValueError(f"{pick.name} is zero at a skeleton edge; choose another skeleton, e.g. maxprod")


def require_range(products: Tensor) -> None:
    """Raise unless products of skeleton weights are normal numbers: finite, and not so small that digits are lost.

    Raises:
        ValueError: a product is out of range; the message names the skeleton with the largest products.
    """
    sizes, limits = products.abs(), torch.finfo(products.dtype)
    if not ((sizes >= limits.tiny) & (sizes <= limits.max)).all():
        raise ValueError(
            f"products of the skeleton's weights leave the range of {str(products.dtype).removeprefix('torch.')};"
            " choose the skeleton maxprod (in G-space with normalise=balanced) or float64"
        )


def require_finite(weights: Weights) -> None:
    """Raise if a weight is NaN or infinite: no chart starts there.

    Raises:
        ValueError: naming the tensor.
    """
    for name, w in weights.items():
        if not w.isfinite().all():
            raise ValueError(f"{name} is not finite: a weight is NaN or infinite")
