"""RMSprop."""

from dataclasses import dataclass

from scaleinv.optim.base import (
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
from scaleinv.optim.sgd import momentum
from scaleinv.spaces import _foreach as foreach
from scaleinv.spaces.base import Coords
from scaleinv.symmetry.members import PerMember


@dataclass(frozen=True, kw_only=True)
class RMSprop(Optimizer):
    """``v <- alpha v + (1 - alpha) g^2``, direction ``g / (sqrt(v) + eps)``; as ``torch.optim.RMSprop``.

    Attributes:
        alpha: decay of the mean of the squared gradients.
        eps: added to the denominator.
        momentum: momentum of the directions, as in SGD; 0 is none.
        weight_decay: L2 regularisation of the coordinates.
    """

    alpha: PerMember = 0.99
    eps: PerMember = 1e-8
    momentum: PerMember = 0.0
    weight_decay: PerMember = 0.0

    def rule(self) -> GradientTransformation:
        """Return L2 regularisation followed by RMSprop's rule and momentum."""
        own = scale_by_rms(self.alpha, self.eps)
        return chain(add_decayed(self.weight_decay), own, momentum(self.momentum, power=UNCHANGED))


def scale_by_rms(alpha: PerMember, eps: PerMember) -> GradientTransformation:
    """Divide the gradients by the root of the running mean of their squares."""

    def init(coords: Coords) -> State:
        return {"square": zeros_like(coords)}

    def update(grads: Coords, state: State, point: Point) -> tuple[Coords, State]:
        gs, squares = list(grads.values()), [state["square"][n] for n in grads]
        foreach.mul_(squares, alpha)
        foreach.addcmul_(squares, gs, gs, 1 - alpha)
        roots = foreach.sqrt(squares)
        foreach.add_number_(roots, eps)
        foreach.div_(gs, roots)
        return grads, state

    return GradientTransformation(init, update, {"square": LIKE_SQUARED_GRADIENTS})
