"""Adam."""

from dataclasses import dataclass

import torch

from scaleinv.optim.base import (
    LIKE_GRADIENTS,
    LIKE_SQUARED_GRADIENTS,
    UNCHANGED,
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
class Adam(Optimizer):
    """Direction ``m_hat / (sqrt(v_hat) + eps)``; as ``torch.optim.Adam`` (thesis, eq. 1.9, 1.10, corrected).

    Attributes:
        beta1: decay of the mean m of the gradients.
        beta2: decay of the mean v of their squares.
        eps: added to the denominator.
        weight_decay: L2 regularisation of the coordinates.
    """

    beta1: PerMember = 0.9
    beta2: PerMember = 0.999
    eps: PerMember = 1e-8
    weight_decay: PerMember = 0.0

    def rule(self) -> GradientTransformation:
        """Return L2 regularisation followed by Adam's rule."""
        return chain(add_decayed(self.weight_decay), scale_by_adam(self.beta1, self.beta2, self.eps))


def scale_by_adam(beta1: PerMember, beta2: PerMember, eps: PerMember) -> GradientTransformation:
    """Divide the mean of the gradients by the root of the mean of their squares, both bias-corrected."""
    directions: Coords = {}

    def init(coords: Coords) -> State:
        device = next(iter(coords.values())).device
        return {
            "mean": zeros_like(coords),
            "square": zeros_like(coords),
            "step": torch.zeros((), dtype=torch.float32, device=device),
        }

    def update(grads: Coords, state: State, point: Point) -> tuple[Coords, State]:
        state["step"] += 1
        for name, g in grads.items():
            if name not in directions or directions[name].shape != g.shape or directions[name].dtype != g.dtype:
                directions[name] = torch.empty_like(g)
        direction = {name: directions[name] for name in grads}
        means, squares = ([state[key][name] for name in grads] for key in ("mean", "square"))
        foreach.adam_(list(direction.values()), list(grads.values()), means, squares, state["step"], beta1, beta2, eps)
        return direction, state

    powers = {"mean": LIKE_GRADIENTS, "square": LIKE_SQUARED_GRADIENTS, "step": UNCHANGED}
    return GradientTransformation(init, update, powers)
