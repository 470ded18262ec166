"""The rescaling group and its gauges: other weights of the same function (maths.md, section 1 and 2.4)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from scaleinv.network import Graph, Network, Weights
from scaleinv.skeleton import Skeleton, choose


def rescale(graph: Graph, weights: Weights, scales: Tensor) -> dict[str, Tensor]:
    """Apply ``w_e -> w_e * lambda_head(e) / lambda_tail(e)`` (maths.md, eq. 1); the function stays the same.

    Args:
        graph: the network.
        weights: tensors ``(*members, own shape)``.
        scales: positive ``lambda_1..lambda_K``, shape ``(K,)`` or ``(*members, K)``. Powers of two are exact.

    Returns:
        The rescaled weights.
    """
    scales = torch.nn.functional.pad(scales, (1, 0), value=1.0)
    return {
        name: w * graph.edges[name].at_heads(scales) / graph.edges[name].at_tails(scales) for name, w in weights.items()
    }


def random_scales(
    graph: Graph,
    sigma: float = 1.0,
    powers_of_two: bool = False,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """Draw ``lambda_c = exp(sigma N(0, 1))`` for every hidden channel.

    Args:
        graph: the network.
        sigma: spread of ``log lambda``; 0 gives ones.
        powers_of_two: round ``log2 lambda`` to whole numbers, which makes rescaling exact in floating point.
        generator: source of randomness.
        dtype: of the result.

    Returns:
        Scales, shape ``(K,)``.
    """
    logs = sigma * torch.randn(graph.hidden, dtype=torch.float64, generator=generator)
    if powers_of_two:
        return torch.exp2((logs / torch.log(torch.tensor(2.0))).round()).to(dtype)
    return logs.exp().to(dtype)


def to_gauge(graph: Graph, weights: Weights, skeleton: Skeleton, target: Tensor | None = None) -> dict[str, Tensor]:
    """Rescale until the skeleton's out-edges have given magnitudes; signs and the function stay.

    ``lambda_c = |S_c| / |target_c|`` with the suffix S of the weights (maths.md, theorem 4).

    Args:
        graph: the network.
        weights: tensors ``(*members, own shape)``.
        skeleton: its out-edges must have non-zero weights.
        target: suffix to reach, ``(*members, K + 1)``; None means the unit gauge, every out-edge exactly +-1.

    Returns:
        The rescaled weights.
    """
    scales = skeleton.suffix(graph, weights).abs()
    if target is not None:
        scales = scales / target.abs()
    return rescale(graph, weights, scales[..., 1:])


def reparametrize(
    graph: Graph, weights: Weights, choice: str | Mapping = "default"
) -> tuple[dict[str, Tensor], Skeleton]:
    """Rescale a network so that one outgoing weight of every hidden node is +-1 (thesis, 3.0.4 and 6.3.1).

    Args:
        graph: the network.
        weights: tensors ``(*members, own shape)``.
        choice: ``default`` (the diagonal), ``hungarian`` (the source's matching), ``log_hungarian``,
            ``maxprod``, or an explicit skeleton.

    Returns:
        The rescaled weights, in which exactly the chosen entries are +-1, and the skeleton that was chosen.

    Raises:
        ValueError: a chosen weight is zero.
    """
    skeleton = choose(choice, graph, weights)
    require_nonzero(graph, weights, skeleton)
    return to_gauge(graph, weights, skeleton), skeleton


def require_nonzero(graph: Graph, weights: Weights, skeleton: Skeleton) -> None:
    """Raise if a fixed weight of the skeleton is zero: no rescaling makes it anything else.

    Raises:
        ValueError: naming the tensor.
    """
    for pick in skeleton.out:
        if not pick.read(weights[pick.name]).all():
            raise ValueError(f"{pick.name} is zero at a skeleton edge; choose another skeleton, e.g. maxprod")


def balance(graph: Graph, weights: Weights, tolerance: float = 1e-12, sweeps: int = 10_000) -> dict[str, Tensor]:
    """Rescale to the balanced gauge: per hidden channel, sum of squares in = sum of squares out.

    It is the representative of the orbit with the smallest ``sum w^2`` (maths.md, 2.4), found by alternating
    exact minimisation over blocks, in float64. The start is first moved to a representative that no power-of-two
    rescaling of it changes, so the result is bit-identical for all of those.

    Args:
        graph: the network.
        weights: tensors ``(*members, own shape)``.
        tolerance: largest ``|log(in / out)|`` left.
        sweeps: give up after so many rounds over the blocks.

    Returns:
        The balanced weights, in the dtype of ``weights``.

    Raises:
        ValueError: a channel has no non-zero incoming or no non-zero outgoing weight.
        RuntimeError: not converged after ``sweeps`` rounds.
    """
    start = _without_powers_of_two(graph, {name: w.double() for name, w in weights.items()})
    squares = {name: _collapse(graph, name, w.square()) for name, w in start.items()}
    logs = torch.zeros(
        *graph.members(weights),
        graph.hidden + 1,
        dtype=torch.float64,
        device=next(iter(start.values())).device,
    )
    for _ in range(sweeps):
        worst = 0.0
        for block in graph.blocks:
            into, out = (_sums(graph, squares, logs, end)[..., block.start : block.stop] for end in ("head", "tail"))
            gap = out.log() - into.log()
            if not gap.isfinite().all():
                raise ValueError(
                    f"{block.into}, {block.out}: a hidden node has no non-zero weight on one side, so no balanced gauge"
                )
            logs[..., block.start : block.stop] += gap / 4
            worst = max(worst, gap.abs().max().item())
        if worst <= tolerance:
            balanced = rescale(graph, start, logs[..., 1:].exp())
            return {name: w.to(weights[name].dtype) for name, w in balanced.items()}
    raise RuntimeError(f"no balanced gauge after {sweeps} sweeps: |log(in / out)| is still {worst:.1e}")


def _without_powers_of_two(graph: Graph, weights: Weights) -> dict[str, Tensor]:
    """Rescale each channel by the power of two in the largest product behind it."""
    exponents = choose("maxprod", graph, weights).suffix(graph, weights).frexp().exponent
    return rescale(graph, weights, torch.exp2(exponents[..., 1:].double()))


def _collapse(graph: Graph, name: str, squares: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sum over the dims on which both ends are the anchor; return the sums with their heads and tails."""
    head, tail = graph.edges[name].head, graph.edges[name].tail
    for dim in range(-1, -len(graph.shapes[name]) - 1, -1):
        ends = [end for end in (head, tail) if end.dim() >= -dim and end.shape[dim] > 1]
        if all(not end.any() for end in ends):
            squares = squares.sum(dim, keepdim=True)
            head, tail = (end.narrow(dim, 0, 1) if end.dim() >= -dim else end for end in (head, tail))
    return squares, head, tail


def _sums(graph: Graph, squares: dict[str, tuple[Tensor, Tensor, Tensor]], logs: Tensor, end: str) -> Tensor:
    """Sum ``(w_e lambda_head / lambda_tail)^2`` over the edges that have each class at ``end``."""
    totals = torch.zeros_like(logs)
    for squared, head, tail in squares.values():
        scaled = squared * (2 * (logs[..., head] - logs[..., tail])).exp()
        own = scaled.dim() - (logs.dim() - 1)
        classes = (head if end == "head" else tail).expand(scaled.shape[-own:]).flatten()
        totals = totals.index_add(-1, classes, scaled.flatten(-own))
    return totals


def path_norm(network: Network, weights: Weights) -> Tensor:
    """Compute ``sqrt(sum over paths of v_p^2)``, the l2 path norm; invariant under rescaling.

    The squares of all path values add up to the output of the network of squared weights at an all-ones input
    (Neyshabur et al. 2015, section 4). A bias starts paths of its own.

    Returns:
        The norm, shape ``(*members,)``.
    """
    x = torch.ones(
        network.sizes[0], dtype=next(iter(weights.values())).dtype, device=next(iter(weights.values())).device
    )
    for layer in network.layers:
        x = (weights[layer.weight].square() @ x[..., None])[..., 0]
        if layer.bias is not None:
            x = x + weights[layer.bias].square()
    return x.sum(-1).sqrt()
