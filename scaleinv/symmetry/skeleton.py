"""Skeletons: one outgoing and one incoming edge for every hidden channel (maths.md, 2.1 and 2.7).

The out-edges T carry the fixed weights, one per class; they form a tree towards the anchor. The in-edges A lead
back to the inputs. In the source both lie on the diagonals; here they are two separate choices.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from scaleinv.symmetry.graph import Graph, Incidence, Weights


@dataclass(frozen=True)
class Pick:
    """One entry of one parameter tensor for every class of a block.

    Attributes:
        name: name of the parameter tensor.
        classes: classes of the block, shape ``(n,)``.
        index: flat position of each class's entry in the tensor's own dims, ``(n,)`` or ``(*members, n)``.
        ends: class at the far end of each entry (the head of an out-edge, the tail of an in-edge); shaped as index.
        own: number of the tensor's own dims.
    """

    name: str
    classes: Tensor
    index: Tensor
    ends: Tensor
    own: int

    @cached_property
    def span(self) -> slice | None:
        """The index as a slice, if its entries are evenly spaced (a diagonal's are); else None.

        A strided view is faster to read and write than indexed entries.
        """
        if self.index.dim() > 1 or len(self.index) < 2:
            return None
        first, second, last = int(self.index[0]), int(self.index[1]), int(self.index[-1])
        if second <= first or not bool((self.index.diff() == second - first).all()):
            return None
        return slice(first, last + 1, second - first)

    def read(self, tensor: Tensor) -> Tensor:
        """Return a copy of the picked entries of ``tensor``, ``(*members, n)``."""
        flat = tensor.flatten(-self.own)
        return take(flat, self.index) if self.span is None else flat[..., self.span].clone()

    def write(self, tensor: Tensor, values: Tensor | float) -> Tensor:
        """Return a copy of ``tensor`` with the picked entries replaced; differentiable."""
        flat = tensor.flatten(-self.own)
        index = self.index.expand(*flat.shape[:-1], -1)
        if isinstance(values, Tensor):
            return flat.scatter(-1, index, values.to(flat).expand(index.shape)).view(tensor.shape)
        return flat.scatter(-1, index, values).view(tensor.shape)

    def zero_(self, tensor: Tensor) -> None:
        """Set the picked entries of a contiguous ``tensor`` to zero in place."""
        flat = tensor.view(*tensor.shape[: -self.own], -1)
        if self.span is not None:
            flat[..., self.span].zero_()
        elif self.index.dim() == 1:
            flat.index_fill_(-1, self.index, 0.0)
        else:
            flat.scatter_(-1, self.index, 0.0)

    def write_(self, tensor: Tensor, values: Tensor) -> None:
        """Replace the picked entries of a contiguous ``tensor`` in place."""
        flat = tensor.view(*tensor.shape[: -self.own], -1)
        if self.span is not None:
            flat[..., self.span].copy_(values)
        elif self.index.dim() == 1:
            flat.index_copy_(-1, self.index, values)
        else:
            flat.scatter_(-1, self.index, values)

    def add_(self, tensor: Tensor, values: Tensor) -> None:
        """Add to the picked entries of a contiguous ``tensor`` in place."""
        flat = tensor.view(*tensor.shape[: -self.own], -1)
        if self.span is not None:
            flat[..., self.span].add_(values)
        else:
            add_at_(flat, self.index, values)

    def mask(self, graph: Graph) -> Tensor:
        """Return a boolean tensor, True at the picked entries, ``(own shape)`` or ``(*members, own shape)``."""
        shape = graph.shapes[self.name]
        flat = torch.zeros(
            *self.index.shape[:-1], torch.Size(shape).numel(), dtype=torch.bool, device=self.index.device
        )
        return flat.scatter(-1, self.index, True).unflatten(-1, shape)


@dataclass(frozen=True)
class Skeleton:
    """The out-edges T and the in-edges A of all hidden channels.

    Attributes:
        out: T, one pick per block, ordered so that all heads of a pick are in earlier blocks or the anchor.
        into: A, one pick per block, ordered so that all tails of a pick are in earlier blocks or the anchor.
    """

    out: tuple[Pick, ...]
    into: tuple[Pick, ...]

    def suffix(self, graph: Graph, weights: Weights) -> Tensor:
        """Compute the constant path factors ``S_0 = 1, S_c = w_T[c] S_head(T[c])`` (maths.md, eq. 3).

        Returns:
            S, shape ``(*members, K + 1)``.
        """
        return _products(self.out, graph, _read(self.out, weights), weights)

    def suffix_ratio(self, graph: Graph, weights: Weights, targets: Sequence[Tensor]) -> Tensor:
        """Compute ``S_c(weights) / S_c(targets)`` as a product of ratios, since S itself could overflow or underflow.

        Args:
            graph: graph of the network.
            weights: tensors ``(*members, own shape)``.
            targets: other weights of the out-edges, one tensor per pick.

        Returns:
            The ratios, shape ``(*members, K + 1)``.
        """
        ratios = [value / target for value, target in zip(_read(self.out, weights), targets, strict=True)]
        return _products(self.out, graph, ratios, weights)

    def prefix(self, graph: Graph, weights: Weights) -> Tensor:
        """Compute the prefixes ``P_0 = 1, P_c = P_tail(A[c]) w_A[c]`` (maths.md, eq. 4).

        Returns:
            P, shape ``(*members, K + 1)``.
        """
        return _products(self.into, graph, _read(self.into, weights), weights)

    def fixed(self, graph: Graph) -> dict[str, Tensor]:
        """Return, for every parameter tensor that has fixed entries, a mask that is True at them."""
        return _masks(self.out, graph)

    def is_root(self, graph: Graph) -> list[Tensor]:
        """Return, for every pick of ``into``, which edges are free (not in T); ``(n,)`` or ``(*members, n)``."""
        fixed = self.fixed(graph)
        free = []
        for pick in self.into:
            if pick.name in fixed:
                taken = fixed[pick.name].flatten(-pick.own)
                index, taken = _broadcast_members(pick.index, taken)
                free.append(~taken.gather(-1, index))
            else:
                free.append(torch.ones_like(pick.index, dtype=torch.bool))
        return free

    def to(self, device: torch.device | str) -> "Skeleton":
        """Return the same skeleton with its index tensors on ``device``."""

        def move(pick: Pick) -> Pick:
            return Pick(pick.name, pick.classes.to(device), pick.index.to(device), pick.ends.to(device), pick.own)

        return Skeleton(tuple(move(pick) for pick in self.out), tuple(move(pick) for pick in self.into))


def take(values: Tensor, index: Tensor) -> Tensor:
    """Return ``values[..., index]``; the index is ``(n,)``, or ``(*members, n)`` where it differs between members."""
    if index.dim() == 1:
        return values.index_select(-1, index)
    return values.gather(-1, _for_members(index, values))


def add_at_(totals: Tensor, index: Tensor, values: Tensor) -> None:
    """Add ``values`` to ``totals[..., index]`` in place; an index may occur several times."""
    if index.dim() == 1:
        totals.index_add_(-1, index, values)
    else:
        totals.scatter_add_(-1, _for_members(index, totals), values)


def _for_members(index: Tensor, values: Tensor) -> Tensor:
    """Expand ``(*members, n)`` to the leading dims of ``values``; one look is faster than a view of the same shape."""
    members = values.shape[:-1]
    return index if index.shape[:-1] == members else index.expand(*members, -1)


def _read(picks: Sequence[Pick], weights: Weights) -> list[Tensor]:
    return [pick.read(weights[pick.name]) for pick in picks]


def _products(picks: Sequence[Pick], graph: Graph, factors: Sequence[Tensor], weights: Weights) -> Tensor:
    """Multiply factors along the picks, ``(*members, K + 1)``: each by the product at its far end; 1 at the anchor."""
    like = next(iter(weights.values()))
    products = torch.ones(*graph.members(weights), graph.hidden + 1, dtype=like.dtype, device=like.device)
    for pick, factor in zip(picks, factors, strict=True):
        products = products.index_copy(-1, pick.classes, factor * take(products, pick.ends))
    return products


def _broadcast_members(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Expand the leading dims of two tensors to each other's; the last dims stay."""
    members = torch.broadcast_shapes(first.shape[:-1], second.shape[:-1])
    return first.expand(*members, -1), second.expand(*members, -1)


def _pick(graph: Graph, at: Incidence, choice: Tensor) -> Pick:
    """Pick entry number ``choice[..., c]`` of the entries of channel c; choice is ``(n,)`` or ``(*members, n)``."""
    index, ends = (
        listed.expand(*choice.shape, -1).gather(-1, choice.unsqueeze(-1)).squeeze(-1) for listed in (at.table, at.ends)
    )
    classes = torch.arange(at.block.start, at.block.stop, device=choice.device)
    return Pick(at.name, classes, index, ends, len(graph.shapes[at.name]))


def default(graph: Graph, weights: Weights) -> Skeleton:
    """Choose the source's diagonals, modulo the width of the layer's other side, so that all widths fit.

    ``T[c] = (c mod d_out, c)`` and ``A[r] = (r, r mod d_in)`` (maths.md, 2.7); in a kernel, the middle tap.
    """

    def pick(at: Incidence) -> Pick:
        channels, entries = at.table.shape
        taps = math.prod(graph.shapes[at.name][2:])
        number = torch.arange(channels, device=at.table.device)
        return _pick(graph, at, number % (entries // taps) * taps + taps // 2)

    return Skeleton(tuple(map(pick, graph.towards_outputs)), tuple(map(pick, graph.from_inputs)))


def maxprod(graph: Graph, weights: Weights) -> Skeleton:
    """Choose the edges with the largest products: ``T[c] = argmax_r |W[r, c] S_r|``, ``A[r] = argmax_c |W[r, c] P_c|``.

    The choice does not change under rescaling, and no other forest in the same tensors has a larger ``|S_c|``
    (maths.md, 2.7).
    """
    return Skeleton(
        _choose(graph, weights, graph.towards_outputs, lambda at, scored: scored.argmax(-1)),
        _choose(graph, weights, graph.from_inputs, lambda at, scored: scored.argmax(-1)),
    )


def hungarian(graph: Graph, weights: Weights) -> Skeleton:
    """Match hidden nodes to rows at least total cost ``||D W| - 1|`` (thesis, 6.3.1); D as in ``reparametrize``.

    The cost is not invariant: most rescaled networks get another skeleton. :func:`log_hungarian` is invariant.
    """
    return _matched(graph, weights, lambda scaled: (scaled - 1).abs())


def log_hungarian(graph: Graph, weights: Weights) -> Skeleton:
    """Match hidden nodes to rows at least total ``-log |D W|``; unchanged under rescaling (maths.md, 2.7)."""
    return _matched(graph, weights, lambda scaled: -scaled.log().clamp(min=-1e6))


def explicit(graph: Graph, weights: Weights, out: Sequence, into: Sequence) -> Skeleton:
    """Use the edges that the caller lists.

    Args:
        graph: graph of the network.
        weights: only their device is used.
        out: row index of each node's out-edge (node of the next layer), one list per hidden layer.
        into: column index of each node's in-edge (node of the layer before), one list per hidden layer.

    Raises:
        ValueError: a list has the wrong length or a node outside the layer; the message says which.
    """
    _check_lists(graph, out, into)

    def picks(order: Sequence[Incidence], lists: Sequence) -> tuple[Pick, ...]:
        of_block = dict(zip(graph.blocks, lists, strict=True))
        return tuple(_pick(graph, at, torch.tensor(list(of_block[at.block]), device=at.table.device)) for at in order)

    return Skeleton(picks(graph.towards_outputs, out), picks(graph.from_inputs, into))


def _check_lists(graph: Graph, out: Sequence, into: Sequence) -> None:
    for key, order, lists in (("out", graph.towards_outputs, out), ("into", graph.from_inputs, into)):
        if len(lists) != len(graph.blocks):
            raise ValueError(f"skeleton.{key} lists {len(lists)} hidden layers, the network has {len(graph.blocks)}")
        shapes = {at.block: at.table.shape for at in order}
        for number, (block, nodes) in enumerate(zip(graph.blocks, lists, strict=True), 1):
            width, limit = shapes[block]
            if len(nodes) != width or not all(isinstance(n, int) and 0 <= n < limit for n in nodes):
                raise ValueError(
                    f"skeleton.{key}, hidden layer {number}: needs {width} nodes between 0 and {limit - 1},"
                    f" got {list(nodes)}"
                )


CHOICES: dict[str, Callable[[Graph, Weights], Skeleton]] = {
    "default": default,
    "maxprod": maxprod,
    "hungarian": hungarian,
    "log_hungarian": log_hungarian,
}


# Choices that may change when the network is rescaled, so that what is built on them is not invariant.
CHANGE_UNDER_RESCALING = ("hungarian",)


def check_choice(choice: str | Mapping, graph: Graph) -> None:
    """Check that :func:`choose` can make the skeleton; this needs no weights.

    Raises:
        ValueError: no such choice, lists that do not fit the network, or channels that cannot be reached.
    """
    _ = graph.from_inputs, graph.towards_outputs  # both raise where channels cannot be reached
    if isinstance(choice, Mapping):
        if set(choice) != {"out", "into"}:
            raise ValueError(f"an explicit skeleton has the keys out and into, got {sorted(choice)}")
        _check_lists(graph, choice["out"], choice["into"])
    elif choice not in CHOICES:
        raise ValueError(f"no skeleton is called {choice!r}; there are {', '.join(CHOICES)}")


def choose(choice: str | Mapping, graph: Graph, weights: Weights) -> Skeleton:
    """Make the skeleton that ``choice`` names, or the one it lists as ``{"out": ..., "into": ...}``.

    Raises:
        ValueError: no such choice, or lists that do not fit the network.
    """
    check_choice(choice, graph)
    if isinstance(choice, Mapping):
        return explicit(graph, weights, choice["out"], choice["into"])
    return CHOICES[choice](graph, weights)


def _choose(
    graph: Graph,
    weights: Weights,
    order: Sequence[Incidence],
    choice: Callable[[Incidence, Tensor], Tensor],
) -> tuple[Pick, ...]:
    """Choose an entry for every channel, block by block.

    Args:
        graph: graph of the network.
        weights: tensors ``(*members, own shape)``.
        order: the blocks, in the order of choosing, each with the entries to choose from.
        choice: maps ``|w|`` times the product at the far end, ``(*members, n, k)``, to entry numbers
            ``(*members, n)``.

    Returns:
        One pick per block.
    """
    like = next(iter(weights.values()))
    # In float64: products along deep skeletons underflow in float32.
    products = torch.ones(*graph.members(weights), graph.hidden + 1, dtype=torch.float64, device=like.device)
    picks = []
    for at in order:
        sizes = weights[at.name].flatten(-len(graph.shapes[at.name]))[..., at.table].double().abs()
        scored = sizes * products[..., at.ends]
        chosen = choice(at, scored)
        picks.append(_pick(graph, at, chosen))
        products[..., at.block.start : at.block.stop] = scored.gather(-1, chosen.unsqueeze(-1)).squeeze(-1)
    return tuple(picks)


def _matched(graph: Graph, weights: Weights, cost: Callable[[Tensor], Tensor]) -> Skeleton:
    from scipy.optimize import linear_sum_assignment  # takes most of a second to import

    def match(at: Incidence, scored: Tensor) -> Tensor:
        channels, entries = scored.shape[-2:]
        # With fewer entries than channels, an entry number serves several channels, as evenly as possible.
        copies = -(-channels // entries)
        tiled = cost(scored).repeat_interleave(copies, dim=-1)
        flat = tiled.flatten(0, -3) if tiled.dim() > 2 else tiled[None]
        numbers = [torch.as_tensor(linear_sum_assignment(one.cpu().numpy())[1]) // copies for one in flat]
        return torch.stack(numbers).view(*scored.shape[:-1]).to(scored.device)

    out = _choose(graph, weights, graph.towards_outputs, match)
    fixed = _masks(out, graph)

    def prefer_fixed(at: Incidence, scored: Tensor) -> Tensor:
        """Take a fixed entry where the channel has one, else the largest product."""
        if at.name in fixed:
            own = len(graph.shapes[at.name])
            scored = torch.where(fixed[at.name].flatten(-own)[..., at.table], torch.inf, scored)
        return scored.argmax(-1)

    return Skeleton(out, _choose(graph, weights, graph.from_inputs, prefer_fixed))


def _masks(picks: Sequence[Pick], graph: Graph) -> dict[str, Tensor]:
    """Return, for every tensor with picked entries, a mask that is True at them."""
    masks: dict[str, Tensor] = {}
    for pick in picks:
        mask = pick.mask(graph)
        masks[pick.name] = masks[pick.name] | mask if pick.name in masks else mask
    return masks
