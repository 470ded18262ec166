"""Charts at the weights of a model, and the checks before one is used."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from scaleinv.spaces.base import Chart, Coords, ParameterSpace, UnsupportedSpaceError
from scaleinv.symmetry.graph import Graph, Weights
from scaleinv.symmetry.group import require_finite


def make_chart(space: ParameterSpace, graph: Graph, weights: Weights) -> Chart:
    """Return the space's chart at ``weights``, after a check that its numbers fit the dtype.

    Raises:
        UnsupportedSpaceError: the space cannot take the network.
        ValueError: a weight is NaN or infinite, or one of the coordinates overflows or vanishes.
    """
    require_finite(weights)
    chart = space.chart(graph, weights)
    require_exact_enough(chart)
    return chart


def require_exact_enough(chart: Chart) -> None:
    """Refuse a chart whose coordinates do not lead back to its weights.

    Raises:
        ValueError: naming the tensor.
    """
    for name, w in chart.to_weights(chart.origin).items():
        if not w.isfinite().all() or not torch.equal(w.sign(), chart.weights[name].sign()):
            raise ValueError(
                f"{name} would hold NaN, infinite or vanished numbers of {w.dtype} in this space; convert the model to"
                " float64, or choose another value, skeleton or space"
            )


def require_frozen_kept(chart: Chart, coords: Coords, parameters: Mapping[str, nn.Parameter]) -> None:
    """Refuse frozen parameters that the chart changes, now or when the other coordinates move.

    Args:
        chart: chart of the model.
        coords: coordinates that training continues from.
        parameters: the model's parameters, by name; frozen are those with ``requires_grad=False``.

    Raises:
        UnsupportedSpaceError: naming the tensor.
    """
    frozen = [name for name, p in parameters.items() if not p.requires_grad]
    if not frozen:
        return
    generator = torch.Generator().manual_seed(0)
    moved = {
        name: c if name in frozen else c * (1 + torch.rand(c.shape, generator=generator).to(c))
        for name, c in coords.items()
    }
    for weights in (chart.to_weights(coords), chart.to_weights(moved)):
        for name in frozen:
            if not torch.equal(weights[name], parameters[name]):
                raise UnsupportedSpaceError(
                    f"{name} is frozen (requires_grad=False), but this space would change it; unfreeze it,"
                    " or use WeightSpace() or FixedWeightSpace(fix='keep')"
                )


def carry(chart: Chart, weights: Weights) -> Chart:
    """Return the chart made again at ``weights``, after a check that the function stays the same.

    Raises:
        ValueError: a fixed weight is zero, or has a sign that the chart cannot take; the message names its tensor.
    """
    zero = [name for name, mask in chart.fixed().items() if (weights[name][mask] == 0).any()]
    carried = chart if zero else chart.at(weights)
    # Rescaling changes no sign.
    flipped = [name for name, w in weights.items() if not torch.equal(w.sign(), carried.weights[name].sign())]
    if zero or flipped:
        raise ValueError(
            f"a fixed weight of {(zero or flipped)[0]} is zero or has changed its sign, and no rescaling undoes that;"
            " make a new optimizer for this model, in a space with fix='keep'"
        )
    require_exact_enough(carried)
    return carried


def to_device(tensors: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Return the tensors on ``device``."""
    return {name: t.to(device) for name, t in tensors.items()}
