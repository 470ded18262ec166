"""Teleportation: along the orbit towards larger gradients."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scaleinv.gauging.base import Repeated
from scaleinv.symmetry.graph import Graph, Weights
from scaleinv.symmetry.members import PerMember
from scaleinv.symmetry.quotient import ENDS, links, merged, rescaled_sums


@dataclass(frozen=True, kw_only=True)
class TeleportGauge(Repeated):
    """Symmetry teleportation (Zhao, Dehmamy, Walters and Yu 2022; Zhao, Gower, Walters and Yu 2024) by rescaling.

    Rescaled by ``exp(x)`` a network has the squared gradient norm ``N(x) = sum_e g_e^2 exp(2 (x_tail - x_head))``, one
    number for each hidden node in x, so one gradient g is enough for all steps of the ascent

        ``x <- clip(x + rate dN/dx, -bound, bound)``,   from x = 0.

    N is convex and has no maximum on the orbit: it is the number of steps and the bound that end the ascent. The
    published group is larger, but its other elements keep the outputs of one batch only. Its values are 10 steps at
    rates from 1e-4 to 5e-2, before each of the first 8 steps of an epoch; the published code then starts the optimizer
    anew, where here its state goes on.

    Attributes:
        until: as in :class:`Repeated`; the published method ends after 8 times.
        steps: number of steps of the ascent.
        rate: length of a step, or one per member; at least 0.
        bound: largest change of ``|log lambda|`` at once, or one per member; at least 0.
    """

    until: int = 8
    steps: int = 10
    rate: PerMember = 0.05
    bound: PerMember = 1.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")
        for name in ("rate", "bound"):
            number = torch.as_tensor(getattr(self, name))
            if not ((number >= 0) & number.isfinite()).all():
                raise ValueError(f"{name} must be finite and at least 0, got {getattr(self, name)}")

    def wanted(self, graph: Graph, weights: Weights, gradient: Callable[[], Weights]) -> Tensor:
        """Return the scales at the end of the ascent; see :meth:`Gauge.scales`."""
        squares = merged(links(graph, gradient(), "sum of squares"))
        some = squares[0].values
        rate, bound = (
            torch.as_tensor(number, dtype=some.dtype, device=some.device).unsqueeze(-1)
            for number in (self.rate, self.bound)
        )
        x = some.new_zeros(*graph.members(weights), graph.hidden + 1)
        for _ in range(self.steps):
            # A gradient moves the other way than a weight.
            factors = (-2 * x).exp()
            into, out = (rescaled_sums(squares, factors, end) for end in ENDS)
            x = (x + rate * 2 * (out - into)).clamp(-bound, bound)
            x[..., 0] = 0.0
        return x[..., 1:].exp()
