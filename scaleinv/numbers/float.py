"""Floating point: weights are read as they are."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from scaleinv.numbers.base import Draws, Number
from scaleinv.symmetry.graph import Graph, Weights


@dataclass(frozen=True, kw_only=True)
class FloatNumber(Number):
    """The dtype of the run, and nothing else."""

    is_exact: ClassVar[bool] = True

    def read(self, graph: Graph, weights: Weights, draws: Draws) -> dict[str, Tensor]:
        """Return the weights; see :meth:`Number.read`."""
        return dict(weights)
