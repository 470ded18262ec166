"""What a chart may ask of a gradient."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

from torch import Tensor

from scaleinv.symmetry.graph import Weights
from scaleinv.symmetry.skeleton import Pick


class Gradient(ABC):
    """The gradients of a stack by its weights at one batch; whoever computes them may write them out on demand."""

    @abstractmethod
    def whole(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Write out the gradients by some tensors.

        Args:
            names: of the tensors.

        Returns:
            Contiguous gradients ``(members, own shape)``, in memory that is used again at the next batch.
        """

    @abstractmethod
    def picked(self, pick: Pick) -> Tensor:
        """Return the gradients by the picked entries of one tensor, ``(members, n)``, in memory of their own."""

    @abstractmethod
    def add_to_(self, weights: Weights, factors: Tensor) -> None:
        """Compute ``w_e <- w_e + factors[head(e)] g_e`` in place; the gradient is used up.

        Args:
            weights: those of the tensors that are to be moved, contiguous, ``(members, own shape)``.
            factors: by class, ``(members, K + 1)``, or ``(members, 1)`` where all classes share one.
        """
