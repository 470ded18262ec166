"""The quotient graph: one number for all entries of a parameter tensor between the same two classes.

A convolution has one for every pair of channels, a matrix after a flatten one for every output and channel. Gauges
depend on the weights only through such numbers, so what is iterated is small.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

import torch
from torch import Tensor

from scaleinv.symmetry.graph import Edges, Graph, Weights

End = Literal["head", "tail"]
ENDS: tuple[End, End] = ("head", "tail")

# Entries that are converted to float64 at a time: few enough to stay in a core's cache.
_CHUNK = 2**16


@dataclass(frozen=True)
class Links:
    """Numbers between classes, from the entries of one parameter tensor.

    Attributes:
        values: in float64, ``(*members, n, k)`` for n heads and k tails; or ``(*members, k)``, where the classes at
            both ends change along the same dim of the tensor.
        head: class at the head, ``(n, 1)`` or ``(k,)``.
        tail: class at the tail, ``(1, k)`` or ``(k,)``.
    """

    values: Tensor
    head: Tensor
    tail: Tensor

    @property
    def dims(self) -> int:
        """Number of dims of ``values`` after the members'."""
        return self.head.dim()

    def sums(self, at_head: Tensor, at_tail: Tensor, end: Literal["head", "tail"]) -> Tensor:
        """Add up ``at_head[head] * values * at_tail[tail]`` by the class at one end.

        Args:
            at_head: a number per class, ``(*members, K + 1)``.
            at_tail: likewise.
            end: whether to add up by the class at the head or at the tail.
        """
        return self.add_sums_(torch.zeros_like(at_head), at_head, at_tail, end)

    def add_sums_(self, total: Tensor, at_head: Tensor, at_tail: Tensor, end: Literal["head", "tail"]) -> Tensor:
        """Add :meth:`sums` to a number per class, in place."""
        head, tail = self.head.flatten(), self.tail.flatten()
        h, t = at_head[..., head], at_tail[..., tail]
        if self.dims == 1:
            found = h * self.values * t
        elif end == "head":
            found = h * (self.values @ t.unsqueeze(-1)).squeeze(-1)
        else:
            found = (h.unsqueeze(-2) @ self.values).squeeze(-2) * t
        return total.index_add_(-1, head if end == "head" else tail, found)

    def between(self, groups: Tensor, number: int, at_head: Tensor, at_tail: Tensor) -> Tensor:
        """Add up ``at_head[head] * values * at_tail[tail]`` by the groups of both classes.

        Args:
            groups: group of each class, ``(K + 1,)``.
            number: number of groups.
            at_head: a number per class, ``(*members, K + 1)``.
            at_tail: likewise.

        Returns:
            Sums, ``(*members, groups at the head, groups at the tail)``.
        """
        head, tail = self.head.flatten(), self.tail.flatten()
        total = at_head.new_zeros(*at_head.shape[:-1], number * number)
        if self.dims == 1:
            found = at_head[..., head] * self.values * at_tail[..., tail]
            pairs = groups[head] * number + groups[tail]
        else:
            few, place = groups[tail].unique(return_inverse=True)
            of_group = torch.nn.functional.one_hot(place, len(few)).to(self.values)
            found = at_head[..., head, None] * (self.values @ (at_tail[..., tail, None] * of_group))
            found, pairs = found.flatten(-2), (groups[head, None] * number + few).flatten()
        return total.index_add(-1, pairs, found).unflatten(-1, (number, number))

    def largest(self, at_head: Tensor, at_tail: Tensor, end: Literal["head", "tail"]) -> Tensor:
        """Return the largest ``at_head[head] + values + at_tail[tail]`` by the class at one end.

        Where there is none, it is minus infinity.
        """
        found = at_head[..., self.head] + self.values + at_tail[..., self.tail]
        if self.dims == 2:
            found = found.amax(-1 if end == "head" else -2)
        lowest = torch.full_like(at_head, -torch.inf)
        return lowest.scatter_reduce(-1, getattr(self, end).flatten().expand(found.shape), found, "amax")


def rescaled_sums(listed: Sequence[Links], factors: Tensor, end: End) -> Tensor:
    """Add up ``values * factors[head] / factors[tail]`` of all links by the class at one end, ``(*members, K + 1)``."""
    total, inverse = torch.zeros_like(factors), 1 / factors
    for link in listed:
        link.add_sums_(total, factors, inverse, end)
    return total


def merged(listed: Sequence[Links]) -> list[Links]:
    """Put all links with one class at one end (biases, norms) into one, for fewer passes over the classes."""
    thin = [link for link in listed if link.dims == 1 or 1 in (link.head.numel(), link.tail.numel())]
    if len(thin) < 2:
        return list(listed)
    parts = []
    for link in thin:
        shape = link.values.shape[-link.dims :]
        parts.append([link.values.flatten(-link.dims), *(c.expand(shape).flatten() for c in (link.head, link.tail))])
    values, head, tail = (torch.cat(part, -1) for part in zip(*parts, strict=True))
    return [*(link for link in listed if all(link is not one for one in thin)), Links(values, head, tail)]


def links(graph: Graph, weights: Weights, reduce: Literal["sum of squares", "largest size"]) -> list[Links]:
    """Reduce every parameter tensor to one number for each pair of classes.

    Args:
        graph: graph of the network.
        weights: tensors ``(*members, own shape)``.
        reduce: what to compute from the entries between two classes.

    Returns:
        The links of one tensor after the other, in the order of ``weights``.
    """
    return [_reduced(graph.edges[name], len(graph.shapes[name]), w, reduce) for name, w in weights.items()]


def _reduced(edges: Edges, own: int, w: Tensor, reduce: str) -> Links:
    head, tail = (end.view((*[1] * (own - end.dim()), *end.shape)) for end in (edges.head, edges.tail))
    (head, by_head), (tail, by_tail) = _narrowed(head), _narrowed(tail)
    members, shape = w.shape[: w.dim() - own], w.shape[w.dim() - own :]
    if is_list := bool(by_head & by_tail):
        rows, columns = sorted(by_head | by_tail), list[int]()
        head, tail = (end.expand([shape[d] if d in rows else 1 for d in range(own)]) for end in (head, tail))
    else:
        rows, columns = sorted(by_head), sorted(by_tail)
    rest = [d for d in range(own) if d not in (*rows, *columns)]
    n, k, r = (prod(shape[d] for d in dims) for dims in (rows, columns, rest))
    order = [*range(len(members)), *(d + len(members) for d in (*rows, *columns, *rest))]
    entries = w.detach().permute(order).reshape(*members, n, k, r)
    head, tail = head.flatten(), tail.flatten()
    unique, place = (tail[:1], None) if is_list else _merge(tail)
    parts = []
    for part in entries.split(max(1, _CHUNK // max(1, prod(members) * k * r)), -3):
        part = part.double().square().sum(-1) if reduce == "sum of squares" else part.abs().amax(-1).double()
        parts.append(part if place is None else _collect(part, place, len(unique), reduce))
    values = torch.cat(parts, -2)
    if is_list:
        return Links(values.squeeze(-1), head, tail)
    tail = unique
    unique, place = _merge(head)
    if place is not None:
        values = _collect(values.mT, place, len(unique), reduce).mT
    return Links(values.contiguous(), unique[:, None], tail[None])


def _narrowed(classes: Tensor) -> tuple[Tensor, set[int]]:
    """Cut the dims along which no class changes to length 1; return also the others."""
    changing = set()
    for d in range(classes.dim()):
        if (classes == classes.narrow(d, 0, 1)).all():
            classes = classes.narrow(d, 0, 1)
        else:
            changing.add(d)
    return classes, changing


def _merge(classes: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the different classes and the place of each one among them; None if all are different."""
    unique, place = classes.unique(return_inverse=True)
    return (classes, None) if len(unique) == len(classes) else (unique, place)


def _collect(numbers: Tensor, place: Tensor, length: int, reduce: str) -> Tensor:
    """Combine numbers along the last dim that have the same place."""
    run = len(place) // length
    if run * length == len(place) and bool((place.view(length, run) == place[::run, None]).all()):
        # Runs of equal length, in any order: after a flatten.
        of_run, place = numbers.unflatten(-1, (length, run)), place[::run]
        numbers = of_run.sum(-1) if reduce == "sum of squares" else of_run.amax(-1)
    out = numbers.new_zeros(*numbers.shape[:-1], length)
    if reduce == "sum of squares":
        return out.index_add(-1, place, numbers)
    return out.scatter_reduce(-1, place.expand(numbers.shape), numbers, "amax")
