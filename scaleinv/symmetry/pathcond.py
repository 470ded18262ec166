"""PathCond: the gauge in which the path metric is best conditioned (maths.md, section 7)."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from scaleinv.symmetry.balance import Energy, alive, balance, group_blocks
from scaleinv.symmetry.graph import Graph, Weights
from scaleinv.symmetry.group import rescale
from scaleinv.symmetry.network import Network
from scaleinv.symmetry.path_norm import path_curvature
from scaleinv.symmetry.quotient import links


def condition(network: Network, weights: Weights, buffers: Weights | None = None) -> dict[str, Tensor]:
    """Rescale to the gauge of PathCond.

    Args:
        network: description of the network.
        weights: tensors ``(*members, own shape)``.
        buffers: running statistics, ``(*members, own shape)`` by name; as freshly made if left out.

    Returns:
        The rescaled weights, in the dtype of ``weights``.

    Raises:
        UnsupportedNetworkError: no path norm is defined through an operation; the message names it.
    """
    # From the balanced gauge, so that networks that differ by powers of two have the same result, bit for bit.
    doubled = balance(network.graph, {name: w.double() for name, w in weights.items()}, dead="keep")
    if buffers is not None:
        buffers = {name: b.double() if b.is_floating_point() else b for name, b in buffers.items()}
    problem = PathCond(network.graph, path_curvature(network, doubled, buffers))
    rescaled = rescale(network.graph, doubled, (problem.solve() / 2).exp()[..., 1:])
    return {name: w.to(weights[name].dtype) for name, w in rescaled.items()}


@dataclass(frozen=True)
class PathCond:
    """``F(z) = m log((1/m) sum_e kappa_e exp(z_tail - z_head)) - sum_e (z_tail - z_head)``, m weights.

    kappa is the curvature of the squared path norm, the diagonal of ``dPhi^T dPhi`` of the map Phi from weights to path
    values. With ``z = 2 log lambda`` the sum is over the curvature of the rescaled network; F is the Bregman divergence
    of log det between this diagonal and the best multiple of the identity, up to a constant. F is convex.

    Attributes:
        graph: graph of the network.
        curvature: kappa, tensors ``(*members, own shape)`` in float64.
    """

    graph: Graph
    curvature: Weights

    @cached_property
    def surplus(self) -> Tensor:
        """Number of weights out of each class less the number of those into it, ``(K + 1,)``."""
        some = next(iter(self.curvature.values()))
        counts = torch.zeros(self.graph.hidden + 1, dtype=torch.float64, device=some.device)
        for name, e in self.graph.edges.items():
            shape = self.graph.shapes[name]
            for end, sign in ((e.tail, 1.0), (e.head, -1.0)):
                classes = end.expand(shape).flatten()
                counts.index_add_(0, classes, torch.full_like(classes, sign, dtype=torch.float64))
        return counts

    def value(self, z: Tensor) -> Tensor:
        """Compute F, ``(*members,)``.

        Args:
            z: ``2 log lambda`` of every class, that of the anchor 0, ``(*members, K + 1)``.
        """
        m, factors, total = self.graph.parameters, (-z).exp(), torch.zeros_like(z[..., 0])
        for name, kappa in self.curvature.items():
            edges, own = self.graph.edges[name], len(self.graph.shapes[name])
            rescaled = kappa * edges.at_heads(factors) / edges.at_tails(factors)
            total = total + rescaled.flatten(-own).sum(-1)
        return m * (total.log() - math.log(m)) - z @ self.surplus

    def solve(self, tolerance: float = 1e-10, steps: int = 100) -> Tensor:
        """Return the minimum of F, ``(*members, K + 1)``, 0 at the anchor and at classes without a path.

        Newton's method with a line search. With S the sum, v its gradient and L the Laplacian of the graph with the
        summands as edge weights, F has the Hessian ``(m / S) (L - v v^T / S)``: two systems with L give a step.

        Args:
            tolerance: largest change of z in the last step.
            steps: largest number of steps.

        Raises:
            RuntimeError: not converged after ``steps`` steps.
        """
        flow = links(self.graph, {name: kappa.sqrt() for name, kappa in self.curvature.items()}, "sum of squares")
        is_alive = alive(self.graph, self.curvature)
        flow = [
            replace(link, values=link.values * (is_alive[..., link.head] & is_alive[..., link.tail])) for link in flow
        ]
        free = is_alive.double()
        free[..., 0] = 0.0
        energy, m = Energy(flow, free, group_blocks(self.graph)), self.graph.parameters
        z, worst = torch.zeros_like(free), 1.0
        for _ in range(steps):
            factors = (-z).exp()
            into, out = (energy.sums(factors, 1 / factors, end) for end in ("head", "tail"))
            total = into.sum(-1, keepdim=True)
            v = free * (out - into)
            slope = v - free * self.surplus * total / m
            accuracy = min(0.1, worst)
            to_slope, to_v = (energy.solve(factors, into + out, right, accuracy) for right in (slope, v))
            step = to_slope + to_v * _dot(v, to_slope) / (total - _dot(v, to_v))
            # Far from the minimum a step changes no summand by more than a factor e^2.
            step = step / (step.abs().amax(-1, keepdim=True)).clamp(min=1.0)
            z = self._descend(energy, z, -step, -_dot(slope, step) * m / total)
            worst = float(step.abs().max()) if step.numel() else 0.0
            if worst <= tolerance:
                return z
        raise RuntimeError(f"PathCond has not converged after {steps} steps: z still changes by {worst:.1e}")

    def _descend(self, energy: Energy, z: Tensor, step: Tensor, slope: Tensor) -> Tensor:
        """Take a step of each member, halved until F falls by a share of what its slope promises, or as it is."""

        def height(z: Tensor) -> Tensor:
            factors = (-z).exp()
            total = energy.sums(factors, 1 / factors, "head").sum(-1, keepdim=True)
            return self.graph.parameters * total.log() - (z @ self.surplus).unsqueeze(-1)

        start, length = height(z), torch.ones_like(slope)
        noise = 1e-13 * start.abs()
        for _ in range(30):
            is_too_long = height(z + length * step) > start + 1e-4 * length * slope + noise
            if not is_too_long.any():
                break
            length = torch.where(is_too_long, length / 2, length)
        return z + length * step


def _dot(first: Tensor, second: Tensor) -> Tensor:
    return (first * second).sum(-1, keepdim=True)
