"""Sharpness-aware minimisation."""

from dataclasses import dataclass

import torch
from torch import Tensor

from scaleinv.optim.base import GradientTransformation, Optimizer, Point, State, add_decayed, chain
from scaleinv.optim.sgd import momentum
from scaleinv.spaces.base import Coords
from scaleinv.symmetry.graph import Graph
from scaleinv.symmetry.members import PerMember, per_entry


@dataclass(frozen=True, kw_only=True)
class SAM(Optimizer):
    """The gradient at the worst point of a ball around the coordinates, to first order; then SGD.

    The point is ``c + rho T^2 g / |T g|``: SAM (Foret et al. 2021) has T = 1, its adaptive form ASAM (Kwon et al. 2021)
    ``T = |c| + eta`` at matrices and kernels and 1 at biases, as its public code has. In weight space both are as
    published. In a chart the ball is one of coordinates, and the method is as invariant as the chart.

    Attributes:
        rho: radius of the ball; at least 0.
        adaptive: whether T depends on the coordinates.
        eta: added to the sizes of the coordinates in T; read if ``adaptive``.
        momentum: momentum of the gradients at the worst point.
        weight_decay: L2 regularisation of the coordinates, added to the gradient at the worst point.
    """

    rho: PerMember = 0.05
    adaptive: bool = False
    eta: PerMember = 0.01
    momentum: PerMember = 0.0
    weight_decay: PerMember = 0.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        for name in ("rho", "eta"):
            if not (torch.as_tensor(getattr(self, name)) >= 0).all():
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        if (torch.as_tensor(self.clip) > 0).any():
            raise ValueError("clip would shorten the gradient that finds the worst point, not the one at it")

    def rule(self) -> GradientTransformation:
        """Return the second gradient, followed by SGD's rule."""
        second = at_worst(self.rho, self.eta if self.adaptive else None)
        return chain(second, add_decayed(self.weight_decay), momentum(self.momentum))


def at_worst(rho: PerMember, eta: PerMember | None) -> GradientTransformation:
    """Put the gradient at the worst point of a ball in the place of the gradient; see :class:`SAM`.

    Penalties are part of the gradient that finds the point, but not of the one at it.
    """

    def update(grads: Coords, state: State, point: Point) -> tuple[Coords, State]:
        if point.gradient is None:
            raise ValueError("SAM needs a second gradient of the batch's loss, which this training does not offer")
        coords, chart = point.coords(), point.chart
        sizes = {name: _size(name, c, chart.graph, eta) for name, c in coords.items()}
        squares = [(g * t).flatten(1).square().sum(1) for g, t in zip(grads.values(), sizes.values(), strict=True)]
        length = torch.stack(squares).sum(0).sqrt()
        # Where the gradient is zero there is no worst point.
        scale = torch.where(length > 0, _at(rho, length) / length, 0.0)
        moved = {name: c + per_entry(scale, c) * sizes[name].square() * grads[name] for name, c in coords.items()}
        weights = {name: w.contiguous() for name, w in chart.to_weights(moved).items()}
        second = point.gradient(weights)
        return chart.pullback_(chart.begin(weights), second), state

    return GradientTransformation(lambda coords: {}, update, {})


def _size(name: str, c: Tensor, graph: Graph, eta: PerMember | None) -> Tensor:
    if eta is None or len(graph.shapes[name]) < 2:
        return torch.ones_like(c)
    return c.abs() + (per_entry(eta, c) if isinstance(eta, Tensor) else eta)


def _at(number: PerMember, like: Tensor) -> PerMember:
    return number.to(like) if isinstance(number, Tensor) else number
