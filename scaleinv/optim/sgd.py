"""Stochastic gradient descent."""

from dataclasses import dataclass

import torch
from torch import Tensor

from scaleinv.optim.base import (
    IDENTITY,
    LIKE_GRADIENTS,
    GradientTransformation,
    Optimizer,
    Point,
    State,
    add_decayed,
    chain,
    zeros_like,
)
from scaleinv.spaces import _foreach as foreach
from scaleinv.spaces.base import Coords
from scaleinv.symmetry.members import PerMember


@dataclass(frozen=True, kw_only=True)
class SGD(Optimizer):
    """``b <- momentum b + g``, direction b, or ``g + momentum b`` with Nesterov; as ``torch.optim.SGD``.

    Attributes:
        momentum: 0 is plain gradient descent (thesis, eq. 1.8).
        nesterov: whether to use Nesterov's momentum; needs a momentum greater than 0.
        weight_decay: L2 regularisation of the coordinates.
    """

    momentum: PerMember = 0.0
    nesterov: bool = False
    weight_decay: PerMember = 0.0

    def __post_init__(self) -> None:
        """Check that Nesterov comes with a momentum."""
        super().__post_init__()
        if self.nesterov and (torch.as_tensor(self.momentum) == 0).any():
            raise ValueError("nesterov needs a momentum greater than 0")

    def rule(self) -> GradientTransformation:
        """Return L2 regularisation followed by momentum."""
        return chain(add_decayed(self.weight_decay), momentum(self.momentum, self.nesterov))


def momentum(decay: PerMember, nesterov: bool = False, power: int = LIKE_GRADIENTS) -> GradientTransformation:
    """Accumulate ``b <- decay b + g``; the direction is b, or ``g + decay b`` with Nesterov.

    Args:
        decay: the decay.
        nesterov: whether to use Nesterov's momentum.
        power: how g follows a change of the gauge; see :class:`GradientTransformation`.
    """
    if not isinstance(decay, Tensor) and decay == 0:
        return IDENTITY

    def init(coords: Coords) -> State:
        return {"momentum": zeros_like(coords)}

    def update(grads: Coords, state: State, point: Point) -> tuple[Coords, State]:
        gs, buffers = list(grads.values()), [state["momentum"][n] for n in grads]
        foreach.mul_(buffers, decay)
        foreach.add_(buffers, gs)
        if nesterov:
            foreach.add_(gs, buffers, alpha=decay)
        else:
            foreach.copy_(gs, buffers)
        return grads, state

    return GradientTransformation(init, update, {"momentum": power})
