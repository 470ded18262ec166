"""The rescaling that makes the noise of binarized weights least (P 8.3; ours)."""

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scaleinv.numbers._sampling import variance
from scaleinv.symmetry.fisher import SOFTMAX, fisher_diagonal
from scaleinv.symmetry.graph import Graph, Weights
from scaleinv.symmetry.group import rescale
from scaleinv.symmetry.network import Network
from scaleinv.symmetry.trace import describe, read_weights


@dataclass(frozen=True)
class Quiet:
    """A model in the gauge of least noise.

    Attributes:
        model: the rescaled model, a copy.
        scales: scales of the hidden channels, from 1 to below 2, ``(K,)``.
        before: expected increase of the loss by one sample's noise, to second order, before.
        after: the same after.
    """

    model: nn.Module
    scales: Tensor
    before: float
    after: float


def quiet_gauge(
    model: nn.Module, images: Tensor, grid: int = 32, sweeps: int = 20, network: Network | None = None
) -> Quiet:
    """Rescale a model so that the noise of :func:`scaleinv.binarization.binarize` costs least; the function stays.

    A weight's noise has the variance ``V(w) = 4^e p (1 - p)``, which a rescaling by powers of two carries along, but no
    other one does. With F the diagonal of the Fisher information, the noise raises the loss by

        1/2 sum_e F_e V(w_e) = 1/2 sum_e F_e w_e^2 u(log2 |w_e| + t_head - t_tail),   u = V / w^2,

    where ``F_e w_e^2`` is the same for all rescalings, u has the period 1, and ``t = log2 lambda``. So t matters modulo
    1 only; each is set to the best of ``grid`` values in turn, until none changes.

    Args:
        model: a model that :func:`scaleinv.symmetry.trace.describe` covers, batch norm folded or none.
        images: inputs, over which the Fisher information is averaged; labels are not needed.
        grid: number of values for each ``log2 lambda`` between 0 and 1.
        sweeps: largest number of passes over all channels.
        network: its description, if it is known already.

    Raises:
        UnsupportedNetworkError: the model cannot be described.
        ValueError: grid or sweeps is below 1.
    """
    if grid < 1 or sweeps < 1:
        raise ValueError(f"grid and sweeps must be at least 1, got {grid} and {sweeps}")
    network = network or describe(model, images[:2])
    graph, weights = network.graph, {n: w.double() for n, w in read_weights(model, network.graph).items()}
    stacked = {name: w[None] for name, w in weights.items()}
    flat = images.double().flatten(1)[None]
    buffers = {name: b[None] for name, b in model.named_buffers()}
    fisher = fisher_diagonal(network, stacked, flat, SOFTMAX, buffers or None)
    # Biases are not tossed for.
    costs = {n: fisher[n][0].double() * w.square() for n, w in weights.items() if w.dim() > 1}
    table = _Table(graph, weights, costs, grid)
    steps = torch.zeros(graph.hidden + 1, dtype=torch.long)
    before = table.total(steps)
    for _ in range(sweeps):
        old = steps.clone()
        for c in range(1, graph.hidden + 1):
            steps[c] = table.best(c, steps)
        if torch.equal(old, steps):
            break
    scales = torch.exp2(steps[1:].double() / grid)
    moved = deepcopy(model)
    moved.load_state_dict(rescale(graph, weights, scales), strict=False)
    return Quiet(moved, scales, before, table.total(steps))


class _Table:
    """The cost of every weight's noise for every shift of ``log2 |w|`` by a multiple of 1 / grid."""

    def __init__(self, graph: Graph, weights: Weights, costs: Weights, grid: int) -> None:
        shifts = torch.exp2(torch.arange(grid, dtype=torch.float64) / grid)
        heads, tails, rows = [], [], []
        for name, cost in costs.items():
            edges, w = graph.edges[name], weights[name]
            moved = w.reshape(-1, 1) * shifts
            # Sums over entries between the same classes: a table of classes, not of weights.
            head, tail = (end.expand(w.shape).flatten() for end in (edges.head, edges.tail))
            noise = torch.where(moved == 0, 0.0, variance(moved) / moved.square()) * cost.reshape(-1, 1)
            pairs, place = torch.unique(torch.stack([head, tail]), dim=1, return_inverse=True)
            rows.append(torch.zeros(pairs.shape[1], grid, dtype=torch.float64).index_add_(0, place, noise))
            heads.append(pairs[0])
            tails.append(pairs[1])
        self.head, self.tail, self.rows, self.grid = torch.cat(heads), torch.cat(tails), torch.cat(rows), grid
        order = range(graph.hidden + 1)
        self.near = [((self.head == c) ^ (self.tail == c)).nonzero()[:, 0] for c in order]

    def total(self, steps: Tensor) -> float:
        """Return half the sum of all costs at some steps per class."""
        at = (steps[self.head] - steps[self.tail]) % self.grid
        return float(self.rows.gather(1, at[:, None]).sum()) / 2

    def best(self, c: int, steps: Tensor) -> int:
        """Return the step of class c at which the cost of its edges is least, all others fixed."""
        near = self.near[c]
        tries = torch.arange(self.grid)
        others = steps.clone()
        others[c] = 0
        base = others[self.head[near]] - others[self.tail[near]]
        sign = torch.where(self.head[near] == c, 1, -1)
        at = (base[:, None] + sign[:, None] * tries) % self.grid
        sums = self.rows[near].gather(1, at).sum(0)
        # Stay where nothing is gained.
        return int(sums.argmin()) if sums.min() < sums[steps[c]] else int(steps[c])
