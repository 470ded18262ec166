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
    that. The losses in the records are without penalties; what each adds after an epoch is the column
    ``<name>_penalty``.

    Attributes:
        strength: factor of the term, or one per member, ``(members,)``; at least 0. Strength 0 trains as no penalty
            does, but for the round-off of writing the gradient out, which plain SGD otherwise need not do.
    """

    strength: PerMember = 1e-4

    def __post_init__(self) -> None:
        """Check the range."""
        strengths = torch.as_tensor(self.strength)
        if not bool((strengths.isfinite() & (strengths >= 0)).all()):
            raise ValueError(f"strength must be finite and at least 0, got {self.strength}")

    @abstractmethod
    def attach(self, scene: "Scene") -> "Term":
        """Begin to penalise members.

        Raises:
            ValueError: the scene's space or network cannot have this penalty; the message says why.
        """

    def strengths(self, scene: "Scene") -> Tensor:
        """Return the strength of every member of the scene, ``(members,)``, in the dtype of the weights."""
        like = next(iter(scene.weights.values()))
        return torch.as_tensor(self.strength, dtype=like.dtype, device=like.device).expand(like.shape[0])


class Term(ABC):
    """A penalty at work on the members of a stack: a function of their weights, or of their coordinates.

    Attributes:
        in_coordinates: whether it is a function of the coordinates.
    """

    in_coordinates: bool = False

    @abstractmethod
    def value(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return what it adds to the loss, ``(members,)``.

        Args:
            tensors: weights, or coordinates, ``(members, own shape)``, by name. Where a weight is fixed, there is no
                coordinate, and the entry is zero.
        """

    def add_gradient_(self, tensors: Mapping[str, Tensor], grads: Mapping[str, Tensor]) -> None:
        """Add the gradient of :meth:`value` to that of the loss; as it stands here, by autograd.

        This is part of the step, which a GPU may capture: tensor operations only.

        Args:
            tensors: see :meth:`value`.
            grads: by the same tensors; changed in place. A gradient by a fixed weight is dropped later.
        """
        leaves = {name: t.detach().requires_grad_() for name, t in tensors.items()}
        with torch.enable_grad():
            total = self.value(leaves).sum()
        found = torch.autograd.grad(total, list(leaves.values()), materialize_grads=True)
        for name, g in zip(leaves, found, strict=True):
            grads[name].add_(g)
