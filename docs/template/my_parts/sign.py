"""Sign descent with momentum."""

from dataclasses import dataclass

from scaleinv.optim.base import Coords, GradientTransformation, Optimizer, Point, State, zeros_like


@dataclass(frozen=True, kw_only=True)
class SignDescent(Optimizer):
    """``b <- decay b + (1 - decay) g``, direction ``sign(b)`` (Bernstein et al. 2018, Signum).

    Attributes:
        decay: of the mean of the gradients; 0 is plain sign descent.
    """

    decay: float = 0.9

    def rule(self) -> GradientTransformation:
        """Return the rule; a learning rate is none of its business."""

        def init(coords: Coords) -> State:
            return {"mean": zeros_like(coords)}

        def update(grads: Coords, state: State, point: Point) -> tuple[Coords, State]:
            for name, g in grads.items():
                state["mean"][name].lerp_(g, 1 - self.decay)
            return {name: mean.sign() for name, mean in state["mean"].items()}, state

        return GradientTransformation(init, update)
