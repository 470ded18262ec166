"""Moves along the orbit of a model: rescalings of channels, and permutations."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from scaleinv.gauges._models import Example, described, rescaled, weights_of, with_weights
from scaleinv.symmetry import permutation
from scaleinv.symmetry.graph import Graph
from scaleinv.symmetry.group import random_scales
from scaleinv.symmetry.network import Network
from scaleinv.symmetry.program import IMAGES, Program

# Operations that do the same to every channel, between layers that read and write all channels.
_IN_CHAINS = frozenset(
    {
        *(
            "linear",
            "relu",
            "leaky_relu",
            "abs",
            "dropout",
            "flatten",
            "view",
            "reshape",
            "mean",
            "constant_pad_nd",
            "pad",
        ),
        *(f"{kind}{n}d" for kind in ("conv", "conv_transpose", "upsample_nearest") for n in (1, 2, 3)),
        *(f"{kind}_pool{n}d" for kind in ("max", "avg", "adaptive_max", "adaptive_avg") for n in (1, 2, 3)),
    }
)


def rescale(
    model: nn.Module,
    scales: Tensor | Mapping[str, Tensor | float],
    example: Example = None,
    inplace: bool = False,
) -> nn.Module:
    """Multiply what leads into each hidden channel by its scale, and divide what leads out of it (maths.md, eq. 1).

    Args:
        model: any model that :func:`scaleinv.symmetry.trace.describe` covers. Frozen parameters are rescaled too.
        scales: positive; in the order of the description's classes, ``(K,)``, or by the name of a tensor or module
            that writes channels (``{"0": 2.0}``, ``{"conv1.weight": ones}``), one for all its channels or one for each.
            Powers of two are exact.
        example: a batch of inputs, or the model's description; a ``Sequential`` of linear layers needs none.
        inplace: change this model, instead of a copy.

    Returns:
        The rescaled model.

    Raises:
        UnsupportedNetworkError: the model cannot be described.
        ValueError: a scale is not positive, no channel has it, or a weight would leave the range of its dtype.
    """
    graph = described(model, example).graph
    chosen = _by_class(graph, scales) if isinstance(scales, Mapping) else scales
    return with_weights(model, rescaled(graph, weights_of(model, graph), chosen), inplace)


def random_rescaling(
    model: nn.Module,
    sigma: float = 1.0,
    powers_of_two: bool = False,
    generator: torch.Generator | None = None,
    example: Example = None,
    inplace: bool = False,
) -> nn.Module:
    """Rescale every hidden channel by ``exp(sigma N(0, 1))``.

    Args:
        model: see :func:`rescale`.
        sigma: spread of the logarithm of the scales.
        powers_of_two: round the scales to powers of two, so that not one bit of the outputs changes.
        generator: source of randomness, on the CPU.
        example: see :func:`rescale`.
        inplace: see :func:`rescale`.

    Raises:
        UnsupportedNetworkError: the model cannot be described.
        ValueError: a weight would leave the range of its dtype.
    """
    graph = described(model, example).graph
    scales = random_scales(graph, sigma, powers_of_two, generator)
    return with_weights(model, rescaled(graph, weights_of(model, graph), scales), inplace)


def permute(
    model: nn.Module, orders: Mapping[str, Tensor], example: Example = None, inplace: bool = False
) -> nn.Module:
    """Let hidden channels change places: channel ``order[i]`` comes to place i.

    Args:
        model: a chain of linear layers and convolutions without groups; see :func:`rescale`.
        orders: by the name of a tensor or module that writes channels, a permutation of 0, ..., n - 1.
        example: see :func:`rescale`.
        inplace: see :func:`rescale`.

    Raises:
        UnsupportedNetworkError: the model cannot be described.
        ValueError: the channels of this model cannot change places, or an order is no permutation.
    """
    network = described(model, example)
    if reason := why_not_permutable(network):
        raise ValueError(reason)
    graph = network.graph
    source = torch.arange(graph.hidden + 1)
    for name, order in orders.items():
        classes = _written(graph, name).cpu()
        if len(order) != len(classes):
            raise ValueError(f"{name} writes {len(classes)} channels, got an order of {len(order)}")
        source[classes] = classes[torch.as_tensor(order).cpu()]
    device = next(iter(graph.edges.values())).head.device
    moved = permutation.permute(graph, weights_of(model, graph), source.to(device))
    return with_weights(model, moved, inplace)


def why_not_permutable(network: Network) -> str:
    """Return why the channels of a model cannot change places by their weights alone; an empty string if they can."""
    reason = permutation.why_not_permutable(network.graph)
    if not reason and not network.chain:
        reason = _why_no_chain(network.program)
    return reason and f"the channels of this model cannot change places: {reason}"


def _why_no_chain(program: Program) -> str:
    """Return which operation reads anything but the result before it and weights of its own, or mixes channels."""
    before, used, sizes = IMAGES, set[str](), set[str]()
    for at in program.operations:
        read = [name for name in at.inputs if name not in sizes]
        if at.short.startswith("sym_") or not read:
            sizes.add(at.name)
            continue
        weights = {name for name in read if name in program.names}
        if at.short not in _IN_CHAINS or weights & used or [n for n in read if n not in weights] != [before]:
            return f"{at} makes it more than a chain of layers"
        used |= weights
        before = at.name
    return ""


def _by_class(graph: Graph, scales: Mapping[str, Tensor | float]) -> Tensor:
    at_class = torch.ones(graph.hidden + 1, dtype=torch.float64)
    for name, scale in scales.items():
        classes = _written(graph, name).cpu()
        own = torch.as_tensor(scale).detach().double().cpu()
        if own.dim() > 1 or (own.dim() == 1 and len(own) != len(classes)):
            raise ValueError(f"{name} writes {len(classes)} channels, got scales of shape {tuple(own.shape)}")
        at_class[classes] = own
        if not torch.equal(at_class[classes], own.expand(len(classes))):
            raise ValueError(f"{name} writes some channels twice, which need the same scale")
    return at_class[1:]


def _written(graph: Graph, name: str) -> Tensor:
    """Return the classes of the channels that a tensor, or a module's weight, writes, in their order."""
    full = name if name in graph.edges else f"{name}.weight"
    if full not in graph.edges:
        raise ValueError(f"no tensor is called {name} or {full}; there are {', '.join(graph.edges)}")
    by_dim = permutation.along(graph, full, "head")
    # In groups the place of a channel depends on two dims; classes are numbered in the order of the channels.
    classes = next(iter(by_dim.values())) if len(by_dim) == 1 else graph.edges[full].head.unique()
    if not classes.all():
        raise ValueError(f"{full} writes channels that have no free scale, such as the outputs")
    return classes
