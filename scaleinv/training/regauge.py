"""A change of the gauge between two steps: weights and optimizer state, for all members at once."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from scaleinv.gauging.base import Gauge
from scaleinv.numbers.base import Number
from scaleinv.optim.base import GradientTransformation, State
from scaleinv.spaces.base import ParameterSpace
from scaleinv.symmetry.graph import Graph, Weights
from scaleinv.symmetry.group import rescale_
from scaleinv.symmetry.members import per_entry

# Sum of squared weights from which on a member has diverged, though its weights may be finite.
_DIVERGED = 1e30


def check_gauge(
    gauge: Gauge, space: ParameterSpace, number: Number, graph: Graph, rule: GradientTransformation, optimizer: str
) -> None:
    """Check that a gauge makes sense where it is to be taken.

    Args:
        gauge: the gauge.
        space: space to train in.
        number: format that the network reads its weights in.
        graph: graph of the network.
        rule: update rule of the optimizer.
        optimizer: name of the optimizer.

    Raises:
        ValueError: it does not; the message says why.
    """
    if not gauge.acts:
        return
    if not graph.hidden:
        raise ValueError("a gauge needs a network with hidden channels that can be rescaled")
    if not space.has_gauges:
        raise ValueError(
            f"{type(space).__name__} fixes a weight of every hidden node, and with it the gauge: only in weight space"
            " is there one to choose"
        )
    if not number.is_exact:
        raise ValueError("a gauge keeps the function of the weights as they are, not as this number format reads them")
    if rule.powers is None and rule.init({name: torch.zeros(1, *shape) for name, shape in graph.shapes.items()}):
        raise ValueError(
            f"{optimizer} does not say how its state follows a change of the gauge: give its GradientTransformation"
            " powers, or set memory=false"
        )


def regauge_(
    gauge: Gauge,
    graph: Graph,
    weights: dict[str, Tensor],
    state: State,
    rule: GradientTransformation,
    gradient: Callable[[], Weights],
) -> None:
    """Rescale the weights of every member by a gauge's scales, and carry the optimizer's state along, in place.

    A member that has diverged stays as it is, and so does one for which the gauge has no scales.

    Args:
        gauge: the gauge; its turn is not asked for.
        graph: graph of the network.
        weights: tensors ``(members, own shape)``.
        state: state of the optimizer.
        rule: update rule of the optimizer, which says how the state follows.
        gradient: computes the gradient at the weights.
    """
    sizes = torch.stack([w.double().flatten(1).square().sum(1) for w in weights.values()]).sum(0)
    is_sound = sizes < _DIVERGED
    sound = {name: torch.where(per_entry(is_sound, w) > 0, w, 0.0) for name, w in weights.items()}
    scales = gauge.scales(graph, sound, gradient)
    is_sound &= (scales.isfinite() & (scales > 0)).all(-1)
    scales = torch.where(is_sound.unsqueeze(-1), scales, 1.0)
    rescale_(graph, weights, scales)
    _carry_(graph, state, rule.powers or {}, scales)


def _carry_(graph: Graph, state: State, powers: dict[str, Any], scales: Tensor) -> None:
    for key, power in powers.items():
        if isinstance(power, dict):
            _carry_(graph, state[key], power, scales)
        elif power and key in state:
            rescale_(graph, state[key], scales, power)
