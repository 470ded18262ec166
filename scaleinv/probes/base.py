"""What a probe is."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from scaleinv.symmetry.graph import Weights

if TYPE_CHECKING:
    from scaleinv.spaces.base import Chart


@dataclass(frozen=True)
class Probe(ABC):
    """Options of a measurement. Subclasses are frozen dataclasses; their fields are its configuration keys.

    Attributes:
        columns: what it adds to ``metrics.csv``, one number a member and epoch each.
    """

    columns: ClassVar[tuple[str, ...]]

    @abstractmethod
    def attach(self, chart: "Chart", weights: dict[str, Tensor]) -> "Reading":
        """Begin to measure members at their start.

        Args:
            chart: that they are trained in.
            weights: their starting weights; the same tensors are trained in place.

        Raises:
            ValueError: the chart has not what the probe looks at.
        """


class Reading(ABC):
    """A probe at work on the members of a stack."""

    @abstractmethod
    def after_step(self, weights: Weights) -> None:
        """Look at the weights after a step; in-place tensor operations only, so that a GPU need not wait."""

    @abstractmethod
    def read(self) -> dict[str, Tensor]:
        """Return the epoch's numbers, ``(members,)`` for each of the columns, and begin the next epoch."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint must hold."""
