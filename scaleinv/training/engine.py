"""What computes the outputs and gradients of a stack: the one place where architectures differ."""

from abc import ABC, abstractmethod

from torch import Tensor

from scaleinv.losses.base import Loss
from scaleinv.spaces._gradient import Gradient
from scaleinv.symmetry.graph import Weights
from scaleinv.symmetry.network import Network


class Engine(ABC):
    """Forward and backward passes of one network, for stacks of members.

    Attributes:
        network: the description, with its graph on the device that computes.
        records: whether a pass keeps what :meth:`hidden` returns; chains always do.
    """

    network: Network
    records: bool = False

    @classmethod
    @abstractmethod
    def scalars(cls, network: Network, batch_size: int) -> tuple[int, int]:
        """Return about how many scalars a step holds besides the weights: once for all members, and for each member.

        Args:
            network: the description.
            batch_size: images per step.
        """

    @abstractmethod
    def logits(self, weights: Weights, images: Tensor) -> Tensor:
        """Return the outputs of each member in evaluation mode; arguments and logits as in :meth:`gradient`."""

    @abstractmethod
    def gradient(self, weights: Weights, images: Tensor, targets: Tensor, loss: Loss) -> tuple[Tensor, Gradient]:
        """Compute the mean loss's gradient at a batch for every member.

        The loss itself is not computed: its sums cost more launches than its gradient, so they are left to
        :meth:`Loss.score`, for many batches at once.

        Args:
            weights: tensors ``(members, own shape)``, contiguous, members ordered by group.
            images: float ``(groups, batch, features)``; members are split evenly over the groups.
            targets: targets of the batch, ``(groups, classes, batch)``; see :meth:`Loss.targets`.
            loss: loss to differentiate.

        Returns:
            The logits ``(members, classes, batch)`` and the gradient. Both live in memory that the next call
            overwrites.
        """

    def rehearse(self, weights: Weights, images: Tensor) -> None:
        """Run the forward pass of :meth:`gradient`, for :meth:`hidden`, without changing any running statistics.

        Args:
            weights: tensors ``(candidates * members, own shape)``; the candidates of a member share its statistics.
            images: ``(candidates * groups, batch, features)``.
        """
        self.logits(weights, images)

    @abstractmethod
    def hidden(self) -> list[Tensor]:
        """Return tensors with the signs of every activation's inputs at the last pass, in forward order.

        Returns:
            ``(members, channels, samples)`` each, a sample being an image or one of its positions, images outermost; in
            memory that the next pass may overwrite. Empty if there is no activation.
        """

    @abstractmethod
    def buffers(self) -> list[Tensor]:
        """Return all memory that is kept between calls."""
