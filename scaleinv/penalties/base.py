"""What a penalty is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scaleinv.symmetry.members import PerMember

if TYPE_CHECKING:
    from scaleinv.probes.base import Scene


@dataclass(frozen=True, kw_only=True)
class Penalty(ABC):
    """Options of a term that is added to the loss. Subclasses are frozen dataclasses; fields are configuration keys.

    Training follows the gradient of the batch's mean loss plus all penalties; decoupled decay (AdamW) comes on top of
    that. The losses in the records are without penalties; the value of each penalty after an epoch is in the column
    ``<name>_penalty``.

    Attributes:
        strength: factor of the term, or one per member, ``(members,)``; at least 0. A stack in which all are 0
            trains as without the penalty, to the byte; beside other strengths, a member with 0 does so except for
            round-off, because plain SGD then has to write the gradient out.
    """

    strength: PerMember = 1e-4

    def __post_init__(self) -> None:
        """Check the range."""
        strengths = torch.as_tensor(self.strength)
        if not bool((strengths.isfinite() & (strengths >= 0)).all()):
            raise ValueError(f"strength must be finite and at least 0, got {self.strength}")

    @abstractmethod
    def attach(self, scene: "Scene") -> "Term":
        """Attach the penalty to the members of a scene.

        Raises:
            ValueError: the scene's space or network cannot have this penalty; the message says why.
        """

    def strengths(self, scene: "Scene") -> Tensor:
        """Return the strength of every member of the scene, ``(members,)``, in the dtype of the weights."""
        like = next(iter(scene.weights.values()))
        return torch.as_tensor(self.strength, dtype=like.dtype, device=like.device).expand(like.shape[0])


class Term(ABC):
    """A penalty attached to a stack: a function of the weights, or of the coordinates, of its members.

    Attributes:
        in_coordinates: whether it is a function of the coordinates, not of the weights.
    """

    in_coordinates: bool = False

    @abstractmethod
    def value(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return what the term adds to the loss, ``(members,)``.

        Args:
            tensors: weights, or coordinates, ``(members, own shape)``, by name. Where a weight is fixed, there is no
                coordinate, and the entry is zero.
        """

    def begin_epoch(self, epoch: int, weights: Mapping[str, Tensor]) -> None:
        """Prepare for an epoch, counted from 1, that begins at ``weights``; never part of a captured step."""
        return

    def tensors(self) -> dict[str, Tensor]:
        """Return what changes during training: what a checkpoint must hold."""
        return {}

    def add_gradient_(self, tensors: Mapping[str, Tensor], grads: Mapping[str, Tensor]) -> None:
        """Add the gradient of :meth:`value` to that of the loss; this default uses autograd.

        This is part of the step, which a GPU may capture: tensor operations only.

        Args:
            tensors: see :meth:`value`.
            grads: gradients of the loss by the same tensors; changed in place; those by fixed weights are not used.
        """
        leaves = {name: t.detach().requires_grad_() for name, t in tensors.items()}
        with torch.enable_grad():
            total = self.value(leaves).sum()
        added = torch.autograd.grad(total, list(leaves.values()), materialize_grads=True)
        for name, g in zip(leaves, added, strict=True):
            grads[name].add_(g)
