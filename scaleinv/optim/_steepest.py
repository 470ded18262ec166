"""Steepest descent under a diagonal metric that comes from the network, with momentum that no rescaling changes."""

from collections.abc import Callable

import torch
from torch import Tensor

from scaleinv.optim.base import UNCHANGED, GradientTransformation, Point, Powers, State, zeros_like
from scaleinv.spaces import _foreach as foreach
from scaleinv.spaces.base import Coords
from scaleinv.symmetry.members import PerMember

# From a point and the rule's own state to a positive number per weight.
Metric = Callable[[Point, State], dict[str, Tensor]]


def steepest(
    metric: Metric, momentum: PerMember, init: Callable[[Coords], State], powers: Powers | None = None
) -> GradientTransformation:
    """Divide gradients by the diagonal metric kappa of the weights, carried over to the coordinates.

    The direction is ``g / kappa``, and with momentum ``b / sqrt(kappa)`` with ``b <- momentum b + g / sqrt(kappa)``.
    Rescaling multiplies g by ``lambda_tail / lambda_head`` and kappa by its square, so b does not change at all: it may
    outlive a change of the gauge, which a buffer of directions may not (maths.md, section 7). Where kappa is zero the
    complexity does not depend on the weight, and it is not moved.

    Args:
        metric: computes kappa by the weights; see :data:`Metric`.
        momentum: decay of the buffer; 0 keeps none.
        init: makes the metric's own state, a nest of tensors.
        powers: how that state follows a change of the gauge; see :class:`GradientTransformation`.
    """
    has_momentum = isinstance(momentum, Tensor) or momentum != 0

    def start(coords: Coords) -> State:
        state = dict(init(coords))
        return state | {"momentum": zeros_like(coords)} if has_momentum else state

    def update(grads: Coords, state: State, point: Point) -> tuple[Coords, State]:
        kappa = metric(point, state)
        chart = point.chart
        kappa = chart.pullback_metric(chart.begin(point.weights), kappa)
        gs, ks = list(grads.values()), [_without_zeros(kappa[name]) for name in grads]
        if has_momentum:
            buffers = [state["momentum"][name] for name in grads]
            roots = foreach.sqrt(ks)
            foreach.div_(gs, roots)
            foreach.mul_(buffers, momentum)
            foreach.add_(buffers, gs)
            foreach.copy_(gs, buffers)
            foreach.div_(gs, roots)
        else:
            foreach.div_(gs, ks)
        return grads, state

    return GradientTransformation(start, update, (powers or {}) | {"momentum": UNCHANGED})


def _without_zeros(kappa: Tensor) -> Tensor:
    """Put infinity in the place of zeros; of a view that repeats numbers, each once."""
    once = kappa[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in kappa.stride())]
    return once.masked_fill(once == 0, torch.inf).expand_as(kappa)
