"""Half the sum of squares."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from scaleinv.penalties.base import Term
from scaleinv.symmetry.members import per_entry


@dataclass(frozen=True)
class HalfSquares(Term):
    """``strength / 2 sum x^2`` over all entries x of all tensors, with gradient ``strength x``.

    Attributes:
        strength: ``(members,)``.
        in_coordinates: see :class:`Term`.
    """

    strength: Tensor
    in_coordinates: bool

    def value(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Compute ``strength / 2 sum x^2``, summed in float64; see :meth:`Term.value`."""
        sums = [t.flatten(1).square().sum(1, dtype=torch.float64) for t in tensors.values()]
        return self.strength / 2 * torch.stack(sums).sum(0)

    def add_gradient_(self, tensors: Mapping[str, Tensor], grads: Mapping[str, Tensor]) -> None:
        """Add ``strength x``; see :meth:`Term.add_gradient_`."""
        for name, t in tensors.items():
            grads[name].addcmul_(t, per_entry(self.strength, t))
