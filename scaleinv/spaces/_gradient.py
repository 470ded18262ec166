"""What a chart needs from a gradient."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

from torch import Tensor

from scaleinv.symmetry.graph import Weights


class Gradient(ABC):
    """Gradients of one batch's loss by a stack's weights; subclasses may write them out only when asked to."""

    @abstractmethod
    def whole(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Write out the gradients by some tensors.

        Args:
            names: names of the tensors.

        Returns:
            Contiguous gradients ``(members, own shape)``, in memory that the next batch overwrites.
        """

    @abstractmethod
    def add_to_(self, weights: Weights, factor: Tensor) -> None:
        """Compute ``w <- w + factor g`` in place; the gradient is not valid afterwards.

        Args:
            weights: the tensors to move, by name, contiguous, ``(members, own shape)``.
            factor: one per member, ``(members,)``.
        """
