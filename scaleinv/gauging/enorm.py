"""ENorm: one cycle of balancing after every step."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scaleinv.gauging.base import Repeated
from scaleinv.symmetry.graph import Graph, Weights
from scaleinv.symmetry.members import PerMember
from scaleinv.symmetry.quotient import ENDS, links, rescaled_sums


@dataclass(frozen=True, kw_only=True)
class ENormGauge(Repeated):
    """Equi-normalisation (Stock, Graham, Gribonval and Jegou 2019), on any graph.

    One layer of hidden nodes after the other, in a chain from the inputs to the outputs, each node is rescaled by
    ``lambda = sqrt(out / (c in))`` with the p-norms of the weights out of it and into it as the layers before have left
    them: for a moment ``out = c in``. With c = 1 and p = 2 many cycles lead to the least sum of squares of the orbit.

    As in the authors' public code, biases and parameters of batch norm do not count. Unlike there, biases are rescaled
    with their nodes, or the function would change; the state of every optimizer is carried along; and the layer before
    the outputs is balanced too.

    Attributes:
        first: as in :class:`Repeated`; the published method begins after the first step.
        cycles: number of passes over all layers; the published method takes one.
        c: ratio of the norms, or one per member; greater than 0.
        p: exponent of the norms; greater than 0.
        biases: whether tensors of one dim count: biases, and the parameters of batch norm.
    """

    first: int = 1
    cycles: int = 1
    c: PerMember = 1.0
    p: float = 2.0
    biases: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        if self.cycles < 1:
            raise ValueError(f"cycles must be at least 1, got {self.cycles}")
        for name in ("c", "p"):
            number = torch.as_tensor(getattr(self, name))
            if not ((number > 0) & number.isfinite()).all():
                raise ValueError(f"{name} must be finite and greater than 0, got {getattr(self, name)}")

    def wanted(self, graph: Graph, weights: Weights, gradient: Callable[[], Weights]) -> Tensor:
        """Return the scales of the cycles; see :meth:`Gauge.scales`."""
        counted = {n: w for n, w in weights.items() if self.biases or len(graph.shapes[n]) > 1}
        # Links add up squares: of |w|^(p/2) they are sums of |w|^p.
        halves = counted if self.p == 2 else {n: w.double().abs() ** (self.p / 2) for n, w in counted.items()}
        flow = links(graph, halves, "sum of squares")
        some = next(iter(weights.values()))
        ratio = torch.as_tensor(self.c, dtype=torch.float64, device=some.device).log().unsqueeze(-1)
        logs = torch.zeros(*graph.members(weights), graph.hidden + 1, dtype=torch.float64, device=some.device)
        for block in graph.blocks * self.cycles:
            own = slice(block.start, block.stop)
            factors = (self.p * logs).exp()
            into, out = (rescaled_sums(flow, factors, end)[..., own] for end in ENDS)
            gap = ((out / into).log() / self.p - ratio) / 2
            # A node without weights on one side has nothing to be balanced with.
            logs[..., own] += torch.where((into > 0) & (out > 0), gap, 0.0)
        return logs[..., 1:].exp()
