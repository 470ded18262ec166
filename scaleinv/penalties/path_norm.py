"""The path norm as a regulariser."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from scaleinv.penalties.base import Penalty, Term
from scaleinv.symmetry.network import Network
from scaleinv.symmetry.path_norm import path_sum
from scaleinv.symmetry.path_rules import finite_positive

if TYPE_CHECKING:
    from scaleinv.probes.base import Scene


@dataclass(frozen=True, kw_only=True)
class PathNormPenalty(Penalty):
    """``strength * sum over paths of |v_p|^p``, the path regulariser (Neyshabur et al. 2015); no rescaling changes it.

    Attributes:
        p: exponent, at least 1.
    """

    p: float = 2.0

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if finite_positive(self.p) < 1:
            raise ValueError(f"p must be at least 1, where the penalty has a gradient everywhere, got {self.p}")

    def attach(self, scene: "Scene") -> "PathSum":
        """Penalise the weights of a network that has paths; see :meth:`Penalty.attach`."""
        term = PathSum(self.strengths(scene), scene.network, scene.statistics, self.p)
        term.value(scene.weights)
        return term


@dataclass(frozen=True)
class PathSum(Term):
    """See :class:`PathNormPenalty`.

    Attributes:
        strength: ``(members,)``.
        network: description of the network.
        statistics: running statistics of the members, ``(members, ...)``.
        p: exponent.
    """

    strength: Tensor
    network: Network
    statistics: Mapping[str, Tensor]
    p: float

    def value(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Compute the sum over paths; see :meth:`Term.value`."""
        return self.strength * path_sum(self.network, tensors, self.p, self.statistics)
