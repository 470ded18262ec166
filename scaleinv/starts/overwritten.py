"""Overwrite a skeleton as G-space does: its initialisation without its coordinates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from scaleinv.spaces._pinned import OVERWRITE, check_value, start_skeleton
from scaleinv.starts.base import Start
from scaleinv.symmetry.graph import Weights
from scaleinv.symmetry.members import PerMember
from scaleinv.symmetry.network import Network


@dataclass(frozen=True)
class OverwrittenStart(Start):
    """Set the weights of a skeleton to a number; this changes the function (maths.md, section 6, E1).

    Attributes:
        skeleton: name of the skeleton, or its explicit lists; see :func:`scaleinv.symmetry.skeleton.choose`.
        value: number that the skeleton's weights are set to, or one per member; finite and not 0.
        roots: whether to set the first free edge of every skeleton path too, as both public codes of G-SGD do.
    """

    skeleton: str | Mapping = "default"
    value: PerMember = 1.0
    roots: bool = True

    def __post_init__(self) -> None:
        """Check the value."""
        check_value(self.value)

    def apply(self, network: Network, weights: Weights, seeds: Sequence[int]) -> dict[str, Tensor]:
        """Return the weights with the skeleton overwritten."""
        return start_skeleton(network.graph, weights, self.skeleton, OVERWRITE, self.value, self.roots)[0]
