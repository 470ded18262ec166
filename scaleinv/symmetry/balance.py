"""The balanced gauge: the least sum of squares of an orbit (maths.md, 2.4)."""

import torch
from torch import Tensor

from scaleinv.symmetry.graph import Graph, Weights
from scaleinv.symmetry.group import rescale
from scaleinv.symmetry.skeleton import choose


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
