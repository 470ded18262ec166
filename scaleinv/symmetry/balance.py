"""The balanced gauge: the least sum of squares of an orbit (maths.md, 2.4)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scaleinv.symmetry.graph import Edges, Graph, Weights
from scaleinv.symmetry.group import require_finite, rescale
from scaleinv.symmetry.skeleton import choose


def balance(graph: Graph, weights: Weights, tolerance: float = 1e-12, steps: int = 200) -> dict[str, Tensor]:
    """Rescale to the balanced gauge: per hidden channel, sum of squares in = sum of squares out.

    It is the representative of the orbit with the smallest ``sum w^2`` (maths.md, 2.4). In ``x = log lambda`` that
    sum is the convex function ``F(x) = sum_e w_e^2 exp(2 (x_head - x_tail))``. Its Hessian is four times the Laplacian
    of the graph with the summands as edge weights. F is minimised by Newton's method with a line search, and each
    Newton step is computed by conjugate gradients: a few hundred passes over the parameters, in float64. Networks that
    differ by a rescaling by powers of two are first brought to the same weights, so their results are bit-identical.

    Args:
        graph: graph of the network.
        weights: tensors ``(*members, own shape)``.
        tolerance: largest ``|log(in / out)|`` allowed in the result.
        steps: largest number of Newton steps.

    Returns:
        The balanced weights, in the dtype of ``weights``.

    Raises:
        ValueError: a weight is not finite, or a channel has no non-zero incoming or no non-zero outgoing weight.
        RuntimeError: not converged after ``steps`` Newton steps.
    """
    require_finite(weights)
    start = _without_powers_of_two(graph, {name: w.double() for name, w in weights.items()})
    energy = [_Energy.of(graph.edges[name], w.square(), len(graph.shapes[name])) for name, w in start.items()]
    some = next(iter(start.values()))
    logs = torch.zeros(*graph.members(weights), graph.hidden + 1, dtype=torch.float64, device=some.device)
    worst = 0.0
    for _ in range(steps):
        flow = [e.rescaled(logs) for e in energy]
        into, out = (_totals(flow, end, logs) for end in ("head", "tail"))
        gap = (out.log() - into.log())[..., 1:]
        if not gap.isfinite().all():
            raise ValueError(_lonely(graph, gap))
        worst = gap.abs().max().item() if gap.numel() else 0.0
        if worst <= tolerance:
            balanced = rescale(graph, start, logs[..., 1:].exp())
            return {name: w.to(weights[name].dtype) for name, w in balanced.items()}
        direction = _solve(flow, into + out, (out - into) / 2, min(0.1, worst))
        logs = logs + _length(energy, logs, direction) * direction
    raise RuntimeError(f"no balanced gauge after {steps} steps: |log(in / out)| is still {worst:.1e}")


@dataclass(frozen=True)
class _Energy:
    """Squared weights of one tensor, with the classes at their ends.

    Attributes:
        squares: ``(*members, own shape)``, summed over the dims along which neither class changes.
        edges: classes at both ends, with as many dims as ``squares`` has without the member dims.
    """

    squares: Tensor
    edges: Edges

    @classmethod
    def of(cls, edges: Edges, squares: Tensor, own: int) -> "_Energy":
        """Sum ``squares``, which has ``own`` dims after the members', over dims along which no class changes."""
        head, tail = (end.view(*[1] * (own - end.dim()), *end.shape) for end in (edges.head, edges.tail))
        for dim in range(-own, 0):
            if all((end == end.narrow(dim, 0, 1)).all() for end in (head, tail)):
                squares = squares.sum(dim, keepdim=True)
                head, tail = (end.narrow(dim, 0, 1) for end in (head, tail))
        return cls(squares, Edges(head, tail))

    def rescaled(self, logs: Tensor) -> "_Energy":
        """Return the squares of the weights rescaled by ``exp(logs)``."""
        factors = (2 * logs).exp()
        return _Energy(self.squares * self.edges.at_heads(factors) / self.edges.at_tails(factors), self.edges)

    def collect(self, values: Tensor, end: str, like: Tensor) -> Tensor:
        """Add up values per entry by the class at one end, ``(*members, K + 1)``."""
        classes = getattr(self.edges, end)
        shared = [dim for dim in range(-classes.dim(), 0) if classes.shape[dim] == 1]
        values = values.sum(shared, keepdim=True) if shared else values
        return torch.zeros_like(like).index_add_(-1, classes.flatten(), values.flatten(-classes.dim()))

    def weighted_sums(self, x: Tensor, end: str) -> Tensor:
        """Add up the squares times ``x`` at the far end, by the class at one end, ``(*members, K + 1)``."""
        head, tail = self.edges.head, self.edges.tail
        if head.dim() == 2 and head.shape[1] == 1 == tail.shape[0]:
            # A matrix: one product, without a temporary of the matrix's size.
            matrix, near, far = (self.squares, head, tail) if end == "head" else (self.squares.mT, tail, head)
            sums = (matrix @ x[..., far.flatten(), None]).squeeze(-1)
            return torch.zeros_like(x).index_add_(-1, near.flatten(), sums)
        at_far = self.edges.at_tails if end == "head" else self.edges.at_heads
        return self.collect(self.squares * at_far(x), end, x)


def _totals(flow: Sequence[_Energy], end: str, like: Tensor) -> Tensor:
    return torch.stack([e.collect(e.squares, end, like) for e in flow]).sum(0)


def _solve(flow: Sequence[_Energy], diagonal: Tensor, right: Tensor, tolerance: float) -> Tensor:
    """Solve ``L x = right`` on the free classes by conjugate gradients; L is the Laplacian of ``flow``."""

    def free(values: Tensor) -> Tensor:
        return values.index_fill(-1, torch.zeros(1, dtype=torch.long, device=values.device), 0.0)

    def laplacian(x: Tensor) -> Tensor:
        y = diagonal * x
        for e in flow:
            y = y - e.weighted_sums(x, "head") - e.weighted_sums(x, "tail")
        return free(y)

    def dot(first: Tensor, second: Tensor) -> Tensor:
        return (first * second).sum(-1, keepdim=True)

    rest = free(right)
    scaled = rest / diagonal
    solution, towards, size = torch.zeros_like(rest), scaled, dot(rest, scaled)
    goal = tolerance**2 * size
    for _ in range(10 * rest.shape[-1]):
        if (size <= goal).all():
            break
        image = laplacian(towards)
        length = (size / dot(towards, image)).nan_to_num(0.0, 0.0, 0.0)
        solution = solution + length * towards
        rest = rest - length * image
        scaled = rest / diagonal
        before, size = size, dot(rest, scaled)
        towards = scaled + (size / before).nan_to_num(0.0, 0.0, 0.0) * towards
    return solution


def _length(energy: Sequence[_Energy], logs: Tensor, direction: Tensor) -> Tensor:
    """Choose the length of the step, ``(*members, 1)``: doubled for as long as that makes F smaller.

    The first length changes no summand of F by more than a factor e, which never makes F larger.
    """

    def height(length: Tensor) -> Tensor:
        moved = logs + length * direction
        parts = [e.rescaled(moved).squares.flatten(-e.edges.head.dim()).sum(-1, keepdim=True) for e in energy]
        return torch.stack(parts).sum(0).nan_to_num(torch.inf)

    length = 1 / (4 * direction.abs().amax(-1, keepdim=True)).clamp(min=1.0)
    if (length == 1).all():
        return length
    lowest = height(length)
    for _ in range(20):
        double = height(2 * length)
        is_lower = double < lowest
        if not is_lower.any():
            break
        length, lowest = torch.where(is_lower, 2 * length, length), torch.where(is_lower, double, lowest)
    return length


def _without_powers_of_two(graph: Graph, weights: Weights) -> dict[str, Tensor]:
    """Rescale each channel by the power of two in the largest product of weights from it to an output."""
    exponents = choose("maxprod", graph, weights).suffix(graph, weights).frexp().exponent
    return rescale(graph, weights, torch.exp2(exponents[..., 1:].double()))


def _lonely(graph: Graph, gap: Tensor) -> str:
    """Return the message for the first class that has no non-zero weight on one side."""
    classes = 1 + (~gap.isfinite()).reshape(-1, gap.shape[-1]).any(0).nonzero()[0].item()
    names = [name for name, e in graph.edges.items() if bool((e.head == classes).any() | (e.tail == classes).any())]
    return f"{', '.join(names)}: a hidden node has no non-zero weight on one side, so no balanced gauge"
