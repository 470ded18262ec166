"""AdaGrad."""

from dataclasses import dataclass

from scaleinv.optim.base import (
    LIKE_SQUARED_GRADIENTS,
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
class AdaGrad(Optimizer):
    """``s <- s + g^2``, direction ``g / (sqrt(s) + eps)``; as ``torch.optim.Adagrad`` without its decay of the rate.

    Attributes:
        eps: added to the denominator.
        weight_decay: L2 regularisation of the coordinates.
    """

    eps: PerMember = 1e-10
    weight_decay: PerMember = 0.0

    def rule(self) -> GradientTransformation:
        """Return L2 regularisation followed by AdaGrad's rule."""
        return chain(add_decayed(self.weight_decay), scale_by_sum(self.eps))


def scale_by_sum(eps: PerMember) -> GradientTransformation:
    """Divide the gradients by the root of the sum of their squares so far."""

    def init(coords: Coords) -> State:
        return {"sum": zeros_like(coords)}

    def update(grads: Coords, state: State, point: Point) -> tuple[Coords, State]:
        gs, sums = list(grads.values()), [state["sum"][n] for n in grads]
        foreach.addcmul_(sums, gs, gs, 1.0)
        roots = foreach.sqrt(sums)
        foreach.add_number_(roots, eps)
        foreach.div_(gs, roots)
        return grads, state

    return GradientTransformation(init, update, {"sum": LIKE_SQUARED_GRADIENTS})
