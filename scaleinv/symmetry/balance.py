"""The balanced gauge: the least sum of squares of an orbit (maths.md, 2.4)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from scaleinv.symmetry.graph import Graph, Weights
from scaleinv.symmetry.group import require_finite, rescale
from scaleinv.symmetry.quotient import Links, links, merged

Dead = Literal["refuse", "keep"]
# Largest |log lambda| for which squares of scales stay in the range of float64.
_FARTHEST = 300.0


def balance(
    graph: Graph, weights: Weights, tolerance: float = 1e-12, steps: int = 200, dead: Dead = "refuse"
) -> dict[str, Tensor]:
    """Rescale to the balanced gauge: per hidden channel, sum of squares in = sum of squares out.

    It is the representative of the orbit with the smallest ``sum w^2`` (maths.md, 2.4). In ``x = log lambda`` that
    sum is the convex function ``F(x) = sum_e w_e^2 exp(2 (x_head - x_tail))``. Its Hessian is four times the Laplacian
    of the graph with the summands as edge weights. F is minimised by Newton's method with a line search; each Newton
    step is computed by conjugate gradients, preconditioned by the diagonal and by the Laplacian of whole blocks: a few
    dozen passes over one number for each pair of channels, in float64. Networks that differ by a rescaling by powers
    of two are first brought to the same weights, so their results are bit-identical.

    Args:
        graph: graph of the network.
        weights: tensors ``(*members, own shape)``.
        tolerance: largest ``|log(in / out)|`` allowed in the result.
        steps: largest number of Newton steps.
        dead: what becomes of channels that no path of non-zero weights leads through, for which there is no least
            sum: ``refuse`` them, or ``keep`` their scale, and leave their weights out of the sum.

    Returns:
        The balanced weights, in the dtype of ``weights``.

    Raises:
        ValueError: a weight is not finite, or a channel is dead and not kept.
        RuntimeError: not converged after ``steps`` Newton steps.
    """
    scales = balancing_scales(graph, weights, tolerance, steps, dead)
    balanced = rescale(graph, {name: w.double() for name, w in weights.items()}, scales)
    return {name: w.to(weights[name].dtype) for name, w in balanced.items()}


def balancing_scales(
    graph: Graph,
    weights: Weights,
    tolerance: float = 1e-12,
    steps: int = 200,
    dead: Dead = "refuse",
    unreached: Literal["refuse", "nan"] = "refuse",
) -> Tensor:
    """Return the scales of :func:`balance`, ``(*members, K)`` in float64.

    Args:
        graph: see :func:`balance`.
        weights: see :func:`balance`.
        tolerance: see :func:`balance`.
        steps: see :func:`balance`.
        dead: see :func:`balance`.
        unreached: what becomes of members that have not converged: ``refuse`` them, or return NaN for them alone.
    """
    squares = links(graph, weights, "sum of squares")
    if not all(link.values.isfinite().all() for link in squares):
        require_finite(weights)
        raise ValueError("squares of the weights leave the range of float64")
    squares = merged(squares)
    exponents, is_alive = _exponents(squares, (*graph.members(weights), graph.hidden + 1))
    if dead == "refuse" and not is_alive.all():
        raise ValueError(_lonely(graph, is_alive))
    flow = [
        replace(link, values=_without_powers_of_two(link, exponents) * _at_both_ends(link, is_alive))
        for link in squares
    ]
    free = is_alive.double()
    free[..., 0] = 0
    energy = Energy(flow, free, group_blocks(graph))
    zero, strict = torch.zeros((), dtype=free.dtype, device=free.device), unreached == "refuse"
    start = energy.of_groups().minimise(zero, 0.1, steps, strict)
    logs = energy.minimise(start[..., energy.groups], tolerance, steps, strict)
    return torch.ldexp(logs.exp(), exponents)[..., 1:]


def alive(graph: Graph, weights: Weights) -> Tensor:
    """Return a mask that is True at classes that a path of non-zero weights leads through, ``(*members, K + 1)``."""
    return _exponents(links(graph, weights, "largest size"), (*graph.members(weights), graph.hidden + 1))[1]


@dataclass(frozen=True)
class Energy:
    """The function ``F(x) = sum_e flow_e exp(2 (x_head - x_tail))``, x a number per class.

    Attributes:
        flow: squares of the weights between classes.
        free: 1 where x is free, 0 where it stays 0, ``(*members, K + 1)``.
        groups: groups of classes, ``(K + 1,)``, for steps that move a whole group; that of the anchor is 0.
    """

    flow: Sequence[Links]
    free: Tensor
    groups: Tensor

    def of_groups(self) -> "Energy":
        """Return F as a function of one number per group of classes."""
        number, ones = int(self.groups.max()) + 1, torch.ones_like(self.free)
        flow = self._between_groups(number, ones, ones)
        each = torch.arange(number, device=self.groups.device)
        free = (self._by_group(self.free, number) > 0).to(ones)
        return Energy([Links(flow, each[:, None], each[None])], free, each)

    def minimise(self, start: Tensor, tolerance: float, steps: int, strict: bool = True) -> Tensor:
        """Return the minimum, found by Newton's method from ``start``; without ``strict`` NaN where it is not."""
        logs, worst = start * self.free, 0.0
        is_lost = torch.zeros_like(logs[..., :1], dtype=torch.bool)
        for _ in range(steps):
            if not strict:
                is_lost = is_lost | ~(logs.abs() < _FARTHEST).all(-1, keepdim=True)
                logs = torch.where(is_lost, 0.0, logs)
            factors = (2 * logs).exp()
            into, out = (self.sums(factors, 1 / factors, end) for end in ("head", "tail"))
            gap = torch.where((self.free > 0) & ~is_lost, out.log() - into.log(), 0.0)
            worst = gap.abs().max().item()
            if worst <= tolerance:
                return logs.masked_fill(is_lost, torch.nan)
            direction = self.solve(factors, into + out, self.free * (out - into) / 2, min(0.1, worst))
            logs = logs + self._length(logs, direction) * direction
        if not strict:
            return logs.masked_fill(is_lost | ~(gap.abs() <= tolerance).all(-1, keepdim=True), torch.nan)
        raise RuntimeError(f"no balanced gauge after {steps} steps: |log(in / out)| is still {worst:.1e}")

    def sums(self, at_head: Tensor, at_tail: Tensor, end: Literal["head", "tail"]) -> Tensor:
        """Add up ``at_head[head] flow at_tail[tail]`` by the class at one end, ``(*members, K + 1)``."""
        total = torch.zeros_like(at_head)
        for link in self.flow:
            link.add_sums_(total, at_head, at_tail, end)
        return total

    def solve(self, factors: Tensor, diagonal: Tensor, right: Tensor, tolerance: float) -> Tensor:
        """Solve ``L x = right`` on the free classes by conjugate gradients; L is the Laplacian of the rescaled flow."""

        def laplacian(x: Tensor) -> Tensor:
            from_tails, from_heads = (
                self.sums(factors, x / factors, "head"),
                self.sums(x * factors, 1 / factors, "tail"),
            )
            return self.free * (diagonal * x - from_tails - from_heads)

        def dot(first: Tensor, second: Tensor) -> Tensor:
            return (first * second).sum(-1, keepdim=True)

        precondition = self._preconditioner(factors, diagonal)
        rest, solution = right, torch.zeros_like(right)
        towards = scaled = precondition(rest)
        size = dot(rest, scaled)
        goal = tolerance**2 * size
        for _ in range(10 * rest.shape[-1]):
            if (size <= goal).all():
                break
            image = laplacian(towards)
            length = (size / dot(towards, image)).nan_to_num(0.0, 0.0, 0.0)
            solution = solution + length * towards
            rest = rest - length * image
            scaled = precondition(rest)
            before, size = size, dot(rest, scaled)
            towards = scaled + (size / before).nan_to_num(0.0, 0.0, 0.0) * towards
        return solution

    def _preconditioner(self, factors: Tensor, diagonal: Tensor) -> Callable[[Tensor], Tensor]:
        """Return an approximate inverse of the Laplacian: of its diagonal, and of what it does to whole groups.

        The smallest eigenvalues of a deep network's Laplacian belong to vectors that change from layer to layer only.
        """
        number = int(self.groups.max()) + 1
        flow = self._between_groups(number, factors * self.free, self.free / factors)
        total = self._by_group(diagonal * self.free, number)
        inverse_root = torch.where(total > 0, total, 1.0).rsqrt()
        matrix = torch.diag_embed(total) - flow - flow.mT
        matrix = inverse_root.unsqueeze(-1) * matrix * inverse_root.unsqueeze(-2)
        # The small number guards against a group without free classes, whose row is empty, and against round-off.
        matrix = matrix + torch.eye(number, dtype=matrix.dtype, device=matrix.device) * 1e-12
        inverse = torch.linalg.pinv(matrix, hermitian=True)
        inverse = inverse_root.unsqueeze(-1) * inverse * inverse_root.unsqueeze(-2)
        own = torch.where(diagonal > 0, diagonal, 1.0)

        def apply(x: Tensor) -> Tensor:
            of_groups = (inverse @ self._by_group(x, number).unsqueeze(-1)).squeeze(-1)
            return self.free * (x / own + of_groups[..., self.groups])

        return apply

    def _between_groups(self, number: int, at_head: Tensor, at_tail: Tensor) -> Tensor:
        return torch.stack([link.between(self.groups, number, at_head, at_tail) for link in self.flow]).sum(0)

    def _by_group(self, x: Tensor, number: int) -> Tensor:
        return x.new_zeros(*x.shape[:-1], number).index_add(-1, self.groups, x)

    def _length(self, logs: Tensor, direction: Tensor) -> Tensor:
        """Choose the length of the step, ``(*members, 1)``: doubled for as long as that makes F smaller.

        The first length changes no summand of F by more than a factor e, which never makes F larger.
        """

        def height(length: Tensor) -> Tensor:
            factors = (2 * (logs + length * direction)).exp()
            return self.sums(factors, 1 / factors, "head").sum(-1, keepdim=True).nan_to_num(torch.inf)

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


def _exponents(squares: Sequence[Links], classes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Find a power of two for every class that undoes a rescaling by powers of two, and the classes that are alive.

    The exponent is the largest sum of the exponents of non-zero weights along the shortest paths to an output.

    Args:
        squares: sums of squares of the weights between classes.
        classes: shape of a number per class, ``(*members, K + 1)``.

    Returns:
        Exponents in whole numbers, and a mask that is True at classes that a path of non-zero weights leads through,
        both ``(*members, K + 1)``.
    """
    edges = [replace(link, values=_exponent(link.values)) for link in squares]
    to_outputs = _along_shortest_paths(edges, classes)
    is_alive = to_outputs.isfinite() & _reached_from_inputs(squares, classes)
    return torch.where(is_alive, to_outputs, 0.0).int(), is_alive


def _exponent(squares: Tensor) -> Tensor:
    """Return half the exponent, rounded down; minus infinity where there is no edge. Times 4^k, it is greater by k."""
    return torch.where(squares > 0, (squares.frexp().exponent >> 1).double(), -torch.inf)


def _along_shortest_paths(edges: Sequence[Links], classes: tuple[int, ...]) -> Tensor:
    """Add up along the shortest paths from each class to an output, and keep the largest sum.

    Returns:
        The sums, ``(*members, K + 1)``; minus infinity where no path leads.
    """
    reached = edges[0].values.new_full(classes, -torch.inf)
    reached[..., 0] = 0.0
    newest, zeros = reached, torch.zeros_like(reached)
    while newest.isfinite().any():
        found = torch.full_like(reached, -torch.inf)
        for link in edges:
            if newest[..., link.head].isfinite().any() and reached[..., link.tail].isinf().any():
                found = torch.maximum(found, link.largest(newest, zeros, "tail"))
        newest = torch.where(reached.isinf(), found, -torch.inf)
        reached = torch.maximum(reached, newest)
    return reached


def _reached_from_inputs(squares: Sequence[Links], classes: tuple[int, ...]) -> Tensor:
    """Return a mask that is True at classes to which a path of non-zero weights leads, ``(*members, K + 1)``."""
    reached = squares[0].values.new_zeros(classes)
    reached[..., 0] = 1.0
    newest, ones = reached, torch.ones_like(reached)
    while newest.any():
        found = torch.zeros_like(reached)
        for link in squares:
            if newest[..., link.tail].any() and not reached[..., link.head].all():
                found += link.sums(ones, newest, "head")
        newest = (found > 0).to(reached) * (1 - reached)
        reached = reached + newest
    return reached.bool()


def _without_powers_of_two(link: Links, exponents: Tensor) -> Tensor:
    return torch.ldexp(link.values, 2 * (exponents[..., link.head] - exponents[..., link.tail]))


def _at_both_ends(link: Links, mask: Tensor) -> Tensor:
    return mask[..., link.head] & mask[..., link.tail]


def group_blocks(graph: Graph) -> Tensor:
    """Number the blocks of the classes from 1; the anchor's is 0."""
    lengths = torch.tensor([1, *(block.stop - block.start for block in graph.blocks)])
    device = next(iter(graph.edges.values())).head.device
    order = torch.tensor([0, *(c for block in graph.blocks for c in range(block.start, block.stop))])
    groups = torch.empty_like(order)
    groups[order] = torch.arange(len(lengths)).repeat_interleave(lengths)
    return groups.to(device)


def _lonely(graph: Graph, is_alive: Tensor) -> str:
    """Return the message for the first class that no path of non-zero weights leads through."""
    dead = int((~is_alive).reshape(-1, is_alive.shape[-1]).any(0).nonzero()[0])
    names = [name for name, e in graph.edges.items() if bool((e.head == dead).any() | (e.tail == dead).any())]
    return (
        f"{', '.join(names)}: a hidden node has no non-zero weight on one side, so no balanced gauge; dead='keep'"
        " leaves such nodes as they are"
    )
