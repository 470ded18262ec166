"""What a number format is."""

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scaleinv.symmetry.graph import Graph, Weights


@dataclass(frozen=True, kw_only=True)
class Number(ABC):
    """How weights are read before the network computes with them. Subclasses are frozen dataclasses of options.

    Training is straight-through: the gradient is taken at the weights that were read, and moves the weights themselves.
    So are the scores in the records: those of the network with weights as they are read.

    Attributes:
        is_exact: whether the network computes with the weights themselves.
        can_be_captured: whether a GPU can replay a step with these numbers; not if it draws new ones at every step.
    """

    is_exact: ClassVar[bool] = False
    can_be_captured: ClassVar[bool] = True

    @abstractmethod
    def read(self, graph: Graph, weights: Weights, draws: "Draws") -> dict[str, Tensor]:
        """Return the weights as the network computes with them.

        Args:
            graph: graph of the network, with the tensors' own shapes.
            weights: tensors ``(members, own shape)``; not changed.
            draws: source of randomness.
        """


@dataclass(frozen=True)
class Draws:
    """Random numbers that depend on a member's seed, a purpose and a count alone: the count is their whole state.

    Members of one seed get the same numbers, whatever else is in the stack.

    Attributes:
        seeds: seed of every member.
        purpose: text that separates training from scoring.
        count: number of the draw.
    """

    seeds: tuple[int, ...]
    purpose: str
    count: int

    def generator(self, member: int, device: torch.device) -> torch.Generator:
        """Return the generator of one member."""
        words = f"scaleinv {self.purpose} {self.seeds[member]} {self.count}"
        digest = hashlib.sha256(words.encode()).digest()
        return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "big") >> 1)
