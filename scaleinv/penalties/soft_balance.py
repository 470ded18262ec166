"""A penalty on the imbalance of every hidden node: a soft pull towards the balanced gauge."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scaleinv.penalties.base import Penalty, Term
from scaleinv.symmetry.graph import Edges, Graph

if TYPE_CHECKING:
    from scaleinv.probes.base import Scene


@dataclass(frozen=True, kw_only=True)
class SoftBalance(Penalty):
    """``strength / 4 sum_c (out_c - in_c)^2``, with the sums of squares of the weights out of and into node c.

    Along the orbit of a network it is 0 in the balanced gauge only, and it changes no function: its gradient is along
    the orbit. The gauge is not fixed: it moves towards the balanced one, at a rate that the strength sets.
    """

    def attach(self, scene: "Scene") -> "Imbalance":
        """Penalise the weights of a network that has hidden nodes; see :meth:`Penalty.attach`."""
        if not scene.network.graph.hidden:
            raise ValueError("the penalty 'soft_balance' needs a network with hidden nodes that can be rescaled")
        return Imbalance(self.strengths(scene), scene.network.graph)


@dataclass(frozen=True)
class Imbalance(Term):
    """See :class:`SoftBalance`.

    Attributes:
        strength: ``(members,)``.
        graph: graph of the network.
    """

    strength: Tensor
    graph: Graph

    def value(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Compute the penalty; see :meth:`Term.value`."""
        return self.strength / 4 * self._gaps(tensors).square().sum(-1)

    def add_gradient_(self, tensors: Mapping[str, Tensor], grads: Mapping[str, Tensor]) -> None:
        """Add ``strength w_e (gap_tail - gap_head)``; see :meth:`Term.add_gradient_`."""
        gaps = self._gaps(tensors) * self.strength.unsqueeze(-1)
        for name, w in tensors.items():
            edges = self.graph.edges[name]
            grads[name].addcmul_(w, edges.at_tails(gaps) - edges.at_heads(gaps))

    def _gaps(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return ``out_c - in_c`` of every class, 0 for the anchor, ``(members, K + 1)``."""
        gaps = self.strength.new_zeros(len(self.strength), self.graph.hidden + 1)
        for name, w in tensors.items():
            edges: Edges = self.graph.edges[name]
            own, squares = len(self.graph.shapes[name]), w.square()
            for end, sign in ((edges.tail, 1.0), (edges.head, -1.0)):
                # Dims along which no class changes are summed first: that leaves little to sort by class.
                shape = [1] * (own - end.dim()) + list(end.shape)
                shared = [d - own for d in range(own) if shape[d] == 1]
                sums = squares.sum(shared, keepdim=True) if shared else squares
                gaps = gaps.index_add(-1, end.flatten(), sums.flatten(-own), alpha=sign)
        return gaps * (torch.arange(gaps.shape[-1], device=gaps.device) > 0)
