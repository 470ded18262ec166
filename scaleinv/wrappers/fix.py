"""Weight fixing for any optimizer: constants inside the weight matrices."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from scaleinv.spaces.fixed import FixedWeightSpace
from scaleinv.symmetry.trace import describe, read_weights
from scaleinv.wrappers._charts import make_chart, require_frozen_kept


class _Fixed(nn.Module):
    """Replace some entries of a tensor by constants."""

    mask: Tensor
    values: Tensor

    def __init__(self, mask: Tensor, values: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)
        self.register_buffer("values", values)

    def forward(self, tensor: Tensor) -> Tensor:
        return torch.where(self.mask, self.values, tensor)


def fix_weights(
    model: nn.Module,
    value: float | None = 1.0,
    skeleton: str | Mapping = "default",
    example: Tensor | None = None,
) -> dict[str, Tensor]:
    """Fix one outgoing weight of every hidden node, in place (thesis, chapter 3).

    The fixed entries become constants by ``torch.nn.utils.parametrize``, so no optimizer, momentum or weight decay
    moves them. ``parametrize.remove_parametrizations`` makes ordinary weights of them again.

    Args:
        model: a model that :func:`scaleinv.symmetry.trace.describe` covers.
        value: value of the fixed weights, finite and not 0; None keeps their present values.
        skeleton: which weights: ``default``, ``maxprod``, ``hungarian``, ``log_hungarian``, or explicit lists.
        example: inputs ``(batch, *shape)``, which every model but a chain is described by.

    Returns:
        For every tensor with fixed entries, a mask that is True at them.

    Raises:
        UnsupportedNetworkError: the model has a part that is not described.
        UnsupportedSpaceError: the model has no hidden node, or a frozen tensor would change.
        ValueError: the value is 0, NaN or infinite, or a weight is NaN, infinite, or 0 where it is kept.
    """
    if value is not None and (value == 0 or not math.isfinite(value)):
        raise ValueError(f"value must be a finite number other than 0, got {value}; None keeps the present weights")
    space = FixedWeightSpace(skeleton, "keep") if value is None else FixedWeightSpace(skeleton, "overwrite", value)
    graph = describe(model, example).graph
    weights = read_weights(model, graph)
    chart = make_chart(space, graph.to(next(iter(weights.values())).device), weights)
    require_frozen_kept(chart, chart.origin, {name: model.get_parameter(name) for name in graph.shapes})
    masks = chart.fixed()
    for name, mask in masks.items():
        owner, _, tensor = name.rpartition(".")
        parametrize.register_parametrization(model.get_submodule(owner), tensor, _Fixed(mask, chart.weights[name]))
    return masks
