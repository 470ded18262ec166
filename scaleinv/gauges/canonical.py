"""Representatives of a model's orbit: one model for all that differ by a rescaling."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from scaleinv.gauges._models import Example, described, rescaled, weights_of, with_weights
from scaleinv.gauges.moves import why_not_permutable
from scaleinv.symmetry import permutation
from scaleinv.symmetry.balance import Dead, balancing_scales
from scaleinv.symmetry.graph import Graph, Weights
from scaleinv.symmetry.group import require_finite, require_nonzero, require_range
from scaleinv.symmetry.quotient import links
from scaleinv.symmetry.ranges import equalising_scales
from scaleinv.symmetry.skeleton import choose


def balance(model: nn.Module, example: Example = None, dead: Dead = "refuse", inplace: bool = False) -> nn.Module:
    """Bring a model to the least ``sum w^2`` that a rescaling can reach (maths.md, 2.4).

    There, and only there, the sum of squares into each hidden channel equals that out of it. All rescalings of a model
    have the same balanced model, to round-off; those by powers of two to the last bit.

    Args:
        model: see :func:`scaleinv.gauges.rescale`.
        example: a batch of inputs, or the model's description; a ``Sequential`` of linear layers needs none.
        dead: ``refuse`` channels that no path of non-zero weights leads through, for which there is no least sum, or
            ``keep`` them as they are, and balance the others without them.
        inplace: change this model, instead of a copy.

    Raises:
        UnsupportedNetworkError: the model cannot be described.
        ValueError: a weight is not finite, or a channel is dead and not kept.
    """
    graph = described(model, example).graph
    weights = weights_of(model, graph)
    return with_weights(model, rescaled(graph, weights, balancing_scales(graph, weights, dead=dead)), inplace)


def unit_gauge(
    model: nn.Module, skeleton: str | Mapping = "maxprod", example: Example = None, inplace: bool = False
) -> nn.Module:
    """Rescale a model so that one outgoing weight of every hidden channel is exactly +1 or -1 (maths.md, theorem 4).

    Args:
        model: see :func:`scaleinv.gauges.rescale`.
        skeleton: which weights; see :func:`scaleinv.symmetry.skeleton.choose`.
        example: see :func:`balance`.
        inplace: see :func:`balance`.

    Raises:
        UnsupportedNetworkError: the model cannot be described.
        ValueError: a chosen weight is zero, or numbers leave their range.
    """
    graph = described(model, example).graph
    weights = weights_of(model, graph)
    require_finite(weights)
    exact = {name: w.double() for name, w in weights.items()}
    chosen = choose(skeleton, graph, exact)
    require_nonzero(graph, exact, chosen)
    scales = chosen.suffix(graph, exact).abs()
    require_range(scales)
    return with_weights(model, rescaled(graph, weights, scales[1:]), inplace)


def equalize(model: nn.Module, example: Example = None, dead: Dead = "refuse", inplace: bool = False) -> nn.Module:
    """Rescale a model so that ``max |w|`` into each hidden channel equals that out of it, for quantization.

    With one scale per tensor each channel then uses as much of the grid as the rescaling allows: cross-layer
    equalisation (Nagel et al. 2019), on any graph. The objective and the way are those of
    :func:`scaleinv.symmetry.ranges.equalising_scales`. Biases have no range. Fold batch norms first
    (:func:`scaleinv.gauges.fold_batch_norm`).

    Args:
        model: see :func:`scaleinv.gauges.rescale`.
        example: see :func:`balance`.
        dead: see :func:`balance`.
        inplace: see :func:`balance`.

    Raises:
        UnsupportedNetworkError: the model cannot be described.
        ValueError: a weight is not finite, or a channel is dead and not kept.
    """
    graph = described(model, example).graph
    weights = weights_of(model, graph)
    return with_weights(model, rescaled(graph, weights, equalising_scales(graph, weights, dead=dead)), inplace)


def canonicalize(
    model: nn.Module,
    example: Example = None,
    permute: bool | None = None,
    dead: Dead = "refuse",
    inplace: bool = False,
) -> nn.Module:
    """Bring a model to one representative of all its rescalings and, of a chain of layers, permutations.

    The representative is balanced; its channels are in the order of the sum of squares into them, largest first.
    Two channels with the same sum to round-off may come in either order.

    Args:
        model: see :func:`scaleinv.gauges.rescale`.
        example: see :func:`balance`.
        permute: whether channels change places; None lets them where they can.
        dead: see :func:`balance`.
        inplace: see :func:`balance`.

    Raises:
        UnsupportedNetworkError: the model cannot be described.
        ValueError: a weight is not finite, a channel is dead and not kept, or ``permute`` is true and they cannot.
    """
    network = described(model, example)
    graph, weights = network.graph, weights_of(model, network.graph)
    reason = why_not_permutable(network)
    if permute and reason:
        raise ValueError(reason)
    moved = rescaled(graph, weights, balancing_scales(graph, weights, dead=dead))
    if permute is not False and not reason:
        moved = permutation.permute(graph, moved, _by_size(graph, moved))
    return with_weights(model, moved, inplace)


def _by_size(graph: Graph, weights: Weights) -> Tensor:
    """Return the permutation that puts channels with the largest sum of squares into them first in their block."""
    device = next(iter(weights.values())).device
    ones = torch.ones(graph.hidden + 1, dtype=torch.float64, device=device)
    into = torch.stack([link.sums(ones, ones, "head") for link in links(graph, weights, "sum of squares")]).sum(0)
    source = torch.arange(graph.hidden + 1, device=device)
    for block in graph.blocks:
        order = into[block.start : block.stop].argsort(descending=True, stable=True)
        source[block.start : block.stop] = block.start + order
    return source
