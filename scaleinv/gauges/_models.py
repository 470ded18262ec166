"""A model's weights out of it, and other weights into it or into a copy."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from math import prod

import torch
from torch import Tensor, nn

from scaleinv.symmetry.graph import Graph
from scaleinv.symmetry.network import Network
from scaleinv.symmetry.trace import describe

# Entries that are converted to float64 at a time: few enough to stay in a core's cache.
_CHUNK = 2**16


# Inputs at which a model is traced, or its description; a chain needs none.
Example = Tensor | Network | None


def described(model: nn.Module, example: Example) -> Network:
    """Return the description of a model, with its graph on the device of the weights."""
    network = example if isinstance(example, Network) else describe(model, example)
    return replace(network, graph=network.graph.to(next(iter(weights_of(model, network.graph).values())).device))


def weights_of(model: nn.Module, graph: Graph) -> dict[str, Tensor]:
    """Return the model's own weights, not copies, by the graph's names."""
    return {name: model.get_parameter(name).detach() for name in graph.shapes}


def rescaled(graph: Graph, weights: Mapping[str, Tensor], scales: Tensor) -> dict[str, Tensor]:
    """Return the weights times ``lambda_head / lambda_tail``, computed in float64 and rounded once.

    Tensors that the scales do not change are returned as they are.

    Raises:
        ValueError: a scale is not positive and finite, or a weight leaves the range of its dtype.
    """
    scales = scales.to(next(iter(weights.values())).device, torch.float64)
    if scales.shape != (graph.hidden,):
        raise ValueError(f"the model has {graph.hidden} channels to rescale, got scales of shape {tuple(scales.shape)}")
    if not ((scales > 0) & scales.isfinite()).all():
        raise ValueError("scales must be positive and finite")
    at_class = torch.nn.functional.pad(scales, (1, 0), value=1.0)
    moved = {}
    for name, w in weights.items():
        up, down = graph.edges[name].at_heads(at_class), graph.edges[name].at_tails(at_class)
        moved[name] = w if (up == 1).all() and (down == 1).all() else _times(name, w, up, down)
    return moved


def with_weights(model: nn.Module, weights: Mapping[str, Tensor], inplace: bool) -> nn.Module:
    """Return a copy of a model with other weights, or the model itself with them."""
    parameters = {name: model.get_parameter(name) for name in weights}
    if inplace:
        with torch.no_grad():
            for name, p in parameters.items():
                p.copy_(weights[name])
        return model
    # Parameters are not copied twice.
    memo: dict[int, object] = {}
    for name, p in parameters.items():
        fresh = weights[name].clone() if weights[name].data_ptr() == p.data_ptr() else weights[name]
        memo[id(p)] = nn.Parameter(fresh, p.requires_grad)
    return copied(model, memo)


def copied(model: nn.Module, memo: dict[int, object] | None = None) -> nn.Module:
    """Return a deep copy of a model.

    Raises:
        ValueError: it cannot be copied, because it keeps results of a forward pass.
    """
    try:
        return copy.deepcopy(model, memo)
    except RuntimeError as error:
        reason = str(error).split(".")[0]
        raise ValueError(f"the model cannot be copied ({reason}); with inplace=True it need not be") from error


def _times(name: str, w: Tensor, up: Tensor, down: Tensor) -> Tensor:
    if not w.dim():
        return _times(name, w[None], up[None], down[None])[0]
    shape, moved = w.shape, torch.empty_like(w)
    up, down = (f.view(*[1] * (w.dim() - f.dim()), *f.shape) for f in (up, down))
    rows = max(1, _CHUNK // max(1, prod(shape[1:])))
    for start in range(0, shape[0], rows):
        here = slice(start, start + rows)
        part = w[here].double() * (up[here] if len(up) > 1 else up)
        moved[here] = part.div_(down[here] if len(down) > 1 else down)
    is_lost = moved.count_nonzero() < w.count_nonzero()
    if is_lost:  # what was a normal number must stay one or become a subnormal, not zero
        is_lost = ((moved == 0) & (w.abs() >= torch.finfo(w.dtype).tiny)).any()
    if is_lost or not all(end.isfinite() for end in moved.aminmax()):
        raise ValueError(
            f"{name} would leave the range of {str(w.dtype).removeprefix('torch.')}; rescale by less, or convert"
            " the model to a wider dtype first"
        )
    return moved
