"""No gauge."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scaleinv.gauging.base import Gauge
from scaleinv.symmetry.graph import Graph, Weights


@dataclass(frozen=True, kw_only=True)
class NoGauge(Gauge):
    """Steps alone move the weights."""

    acts: ClassVar[bool] = False

    def is_due(self, step: int) -> bool:
        """Return False."""
        return False

    def scales(self, graph: Graph, weights: Weights, gradient: Callable[[], Weights]) -> Tensor:
        """Return ones."""
        return torch.ones(*graph.members(weights), graph.hidden, dtype=torch.float64)
