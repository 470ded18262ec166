"""The other symmetry: hidden channels that are read and written alike may change places."""

import torch
from torch import Tensor

from scaleinv.symmetry.graph import Graph, Weights


def why_not_permutable(graph: Graph) -> str:
    """Return why channels cannot change places here; an empty string if they can.

    They can where each tensor has the classes at its heads along one dim and those at its tails along another, so not
    in groups. A graph does not know what belongs to a channel without being one of its edges, such as a slope.
    """
    for name, edges in graph.edges.items():
        head, tail = (_dims(end, len(graph.shapes[name])) for end in (edges.head, edges.tail))
        if len(head) > 1 or len(tail) > 1 or head & tail:
            return f"{name} connects channels in groups"
    return ""


def permute(graph: Graph, weights: Weights, source: Tensor) -> dict[str, Tensor]:
    """Put channel ``source[c]`` in the place of channel c; the function stays the same.

    Args:
        graph: graph whose channels can change places (:func:`why_not_permutable`).
        weights: tensors ``(*members, own shape)``.
        source: class that comes to each place, ``(K + 1,)``: a permutation within each block; ``source[0] = 0``.

    Raises:
        ValueError: the channels cannot change places, or ``source`` is no permutation within the blocks.
    """
    if reason := why_not_permutable(graph):
        raise ValueError(f"channels cannot change places: {reason}")
    for start, stop in ((0, 1), *((block.start, block.stop) for block in graph.blocks)):
        if not torch.equal(source[start:stop].sort().values, torch.arange(start, stop, device=source.device)):
            raise ValueError(f"no permutation of the channels of classes {start} to {stop - 1}")
    permuted = {}
    for name, w in weights.items():
        own = len(graph.shapes[name])
        for end in ("head", "tail"):
            for dim, classes in along(graph, name, end).items():
                w = w.index_select(dim - own, _places(classes, source))
        permuted[name] = w
    return permuted


def match(graph: Graph, first: Weights, second: Weights, sweeps: int = 100) -> Tensor:
    """Find the permutation of one network's channels that brings it closest to another.

    Each block is matched at the least sum of squared differences of the weights around its channels (linear
    assignment), the others fixed, until nothing changes (weight matching; Ainsworth et al. 2023, algorithm 1). The
    first sweep goes from the inputs to the outputs. There a block is matched by the weights that come from blocks
    before it, and by the sorted sizes of all others, which do not depend on an order. So a network is matched with its
    own permutation in one sweep.

    Args:
        graph: graph of both, whose channels can change places.
        first: tensors of own shape, without member dims.
        second: likewise; compare both in the balanced gauge.
        sweeps: largest number of sweeps.

    Returns:
        ``source``, such that ``permute(graph, first, source)`` is closest to ``second``, ``(K + 1,)``.
    """
    from scipy.optimize import linear_sum_assignment  # takes most of a second to import

    source = torch.arange(graph.hidden + 1, device=next(iter(first.values())).device)
    known = torch.zeros(graph.hidden + 1, dtype=torch.bool)
    known[0] = True
    order = [at.block for at in graph.from_inputs]
    for sweep in range(sweeps):
        before = source.clone()
        for block in order:
            classes = slice(block.start, block.stop)
            unmoved = source.clone()
            unmoved[classes] = torch.arange(block.start, block.stop)
            wanted, have = (
                torch.cat([_around(graph, n, end, w[n], classes, known) for n in w for end in ("head", "tail")], -1)
                for w in (second, permute(graph, first, unmoved))
            )
            cost = torch.cdist(wanted.double(), have.double()).square()
            source[classes] = block.start + torch.as_tensor(linear_sum_assignment(cost.cpu().numpy())[1]).to(source)
            known[classes] = True
        if sweep and torch.equal(before, source):
            break
    return source


def _around(graph: Graph, name: str, end: str, w: Tensor, classes: slice, known: Tensor) -> Tensor:
    """Return what one tensor says about each of a block's channels, ``(n, features)``."""
    n = classes.stop - classes.start
    other = "tail" if end == "head" else "head"
    for dim, listed in along(graph, name, end).items():
        places = ((listed >= classes.start) & (listed < classes.stop)).nonzero()[:, 0]
        if not len(places):
            continue
        by_class = places[listed[places].argsort(stable=True)]
        entries = w.movedim(dim, 0)[by_class].reshape(n, -1)
        is_known = known[getattr(graph.edges[name], other).flatten().cpu()].all()
        return entries if is_known else entries.abs().sort(-1).values
    return w.new_zeros(n, 0)


def along(graph: Graph, name: str, end: str) -> dict[int, Tensor]:
    """Return the class at each place of the dim along which the classes at one end change; no dim if they do not."""
    own = len(graph.shapes[name])
    classes = getattr(graph.edges[name], end)
    dims = _dims(classes, own)
    return {
        dim: classes.view(*[1] * (own - classes.dim()), *classes.shape)
        .movedim(dim, 0)
        .reshape(classes.shape[dim - own], -1)[:, 0]
        for dim in dims
    }


def _dims(classes: Tensor, own: int) -> set[int]:
    """Return the dims of the tensor along which classes change."""
    dims = range(-classes.dim(), 0)
    return {own + d for d in dims if not bool((classes == classes.narrow(d, 0, 1)).all())}


def _places(classes: Tensor, source: Tensor) -> Tensor:
    """Return which place each place of a dim gets its numbers from; a channel's places keep their order."""
    wanted = source[classes]
    to, origin = wanted.argsort(stable=True), classes.argsort(stable=True)
    if not torch.equal(wanted[to], classes[origin]):
        raise ValueError("channels with different numbers of entries cannot change places")
    return torch.empty_like(origin).scatter(0, to, origin)
