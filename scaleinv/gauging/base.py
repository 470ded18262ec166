"""What a gauge during training is."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from scaleinv.symmetry.graph import Graph, Weights


@dataclass(frozen=True, kw_only=True)
class Gauge(ABC):
    """A choice of other weights of the same function, made between the steps of training.

    Before a step whose turn it is, the weights are rescaled (maths.md, eq. 1), and the state of the optimizer becomes
    what it would be if all gradients so far had been taken at weights rescaled so (maths.md, section 7). Subclasses are
    frozen dataclasses; their fields are configuration keys.

    Attributes:
        acts: whether it ever changes the weights.
    """

    acts: ClassVar[bool] = True

    @abstractmethod
    def is_due(self, step: int) -> bool:
        """Whether the weights are changed before a step; steps are counted from 0."""

    @abstractmethod
    def scales(self, graph: Graph, weights: Weights, gradient: Callable[[], Weights]) -> Tensor:
        """Choose lambda of every hidden channel, float64, ``(members, K)``.

        Scales of a member that are not finite and positive are not used: it stays as it is.

        Args:
            graph: graph of the network, with at least one hidden channel.
            weights: tensors ``(members, own shape)``; not to be changed. A member that has diverged has zeros.
            gradient: computes the gradient of the coming batch's loss at the members' weights; it costs half a step.
        """


@dataclass(frozen=True, kw_only=True)
class Repeated(Gauge):
    """A gauge that is taken every few steps.

    Attributes:
        every: number of steps from one change to the next.
        first: step before which the weights are changed for the first time: 1 is after the first step.
        until: step from which on they are not changed any more; 0 goes on to the end.
        powers_of_two: round the scales to powers of two, so that no bit of the network's outputs changes.
    """

    every: int = 1
    first: int = 0
    until: int = 0
    powers_of_two: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.every < 1:
            raise ValueError(f"every must be a number of steps, at least 1, got {self.every}")
        for name in ("first", "until"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be the number of a step, counted from 0, got {getattr(self, name)}")

    def is_due(self, step: int) -> bool:
        """Whether it is the turn of a step; see :meth:`Gauge.is_due`."""
        since = step - self.first
        return since >= 0 and since % self.every == 0 and (self.until == 0 or step < self.until)

    def scales(self, graph: Graph, weights: Weights, gradient: Callable[[], Weights]) -> Tensor:
        """Return :meth:`wanted`, rounded if that is asked for; see :meth:`Gauge.scales`."""
        wanted = self.wanted(graph, weights, gradient)
        return wanted.log2().round().exp2() if self.powers_of_two else wanted

    @abstractmethod
    def wanted(self, graph: Graph, weights: Weights, gradient: Callable[[], Weights]) -> Tensor:
        """Choose lambda, before it is rounded; see :meth:`Gauge.scales`."""
