"""Adam."""

from dataclasses import dataclass

import torch

from scaleinv.optim.base import (
    Coords,
    GradientTransformation,
    Optimizer,
    State,
    add_decayed,
    chain,
    zeros_like,
)


@dataclass(frozen=True, kw_only=True)
class Adam(Optimizer):
    """Direction ``m_hat / (sqrt(v_hat) + eps)``; as ``torch.optim.Adam`` (thesis, eq. 1.9, 1.10, corrected).

    Attributes:
        beta1: decay of the mean m of the gradients.
        beta2: decay of the mean v of their squares.
        eps: added to the denominator.
        weight_decay: L2 regularisation of the coordinates.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0

    def rule(self) -> GradientTransformation:
        """Return L2 regularisation followed by Adam's scaling."""
        return chain(add_decayed(self.weight_decay), scale_by_adam(self.beta1, self.beta2, self.eps))


def scale_by_adam(beta1: float, beta2: float, eps: float) -> GradientTransformation:
    """Divide the mean of the gradients by the root of the mean of their squares.

    Both means are kept bias-corrected: ``m_hat <- m_hat + (1 - beta) / (1 - beta^t) (g - m_hat)`` is Adam's mean
    divided by ``1 - beta^t``, at no pass over memory more.
    """

    def init(coords: Coords) -> State:
        device = next(iter(coords.values())).device
        # The step count lives on the device, in float64: 1 - 0.999 in float32 is off by 5e-5.
        return {
            "mean": zeros_like(coords),
            "square": zeros_like(coords),
            "step": torch.zeros((), dtype=torch.float64, device=device),
        }

    def update(grads: Coords, state: State, coords: Coords) -> tuple[Coords, State]:
        step = state["step"].add_(1)
        dtype = next(iter(grads.values())).dtype
        weight1, weight2 = (((1 - beta) / (1 - beta**step)).to(dtype) for beta in (beta1, beta2))
        for name, g in grads.items():
            mean, square = state["mean"][name], state["square"][name]
            mean.lerp_(g, weight1)
            square.lerp_(g.square_(), weight2)
            torch.sqrt(square, out=g).add_(eps)
            torch.div(mean, g, out=g)
        return grads, state

    return GradientTransformation(init, update)
