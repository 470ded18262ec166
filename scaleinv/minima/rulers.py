"""Four ways to say where a network is, so that two can be compared: weights, balanced weights, a chart, predictions."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from scaleinv.minima import predictions
from scaleinv.symmetry.graph import Graph, Weights
from scaleinv.symmetry.group import to_gauge
from scaleinv.symmetry.members import per_entry
from scaleinv.symmetry.network import Network
from scaleinv.symmetry.orbit import balanced
from scaleinv.symmetry.skeleton import Skeleton, choose

Place = Mapping[str, Tensor]


class Ruler(ABC):
    """A place for every network, and how far apart two places are."""

    @abstractmethod
    def place(self, weights: Weights) -> dict[str, Tensor]:
        """Return where the members of a stack are, ``(members, ...)`` by name; differentiable."""

    def apart(self, first: Place, second: Place) -> Tensor:
        """Return how far apart two places are, float64 ``(members,)``; this default is the squared distance."""
        return torch.stack(
            [(p - second[n]).flatten(1).square().sum(1, dtype=torch.float64) for n, p in first.items()]
        ).sum(0)


class InWeights(Ruler):
    """The weights themselves; rescaling a network moves it."""

    def place(self, weights: Weights) -> dict[str, Tensor]:
        """Return the weights."""
        return dict(weights)


@dataclass(frozen=True)
class InBalancedGauge(Ruler):
    """The least-norm weights of the same orbit; no rescaling moves them.

    Attributes:
        graph: graph of the network.
        tolerance: largest ``|log(in / out)|`` of a hidden channel.
    """

    graph: Graph
    tolerance: float = 1e-9

    def place(self, weights: Weights) -> dict[str, Tensor]:
        """Return the balanced weights; NaN for a member with weights that are not finite."""
        finite = torch.stack([w.flatten(1).isfinite().all(1) for w in weights.values()]).all(0)
        if finite.all():
            return balanced(self.graph, weights, self.tolerance, "keep")
        masks = {name: per_entry(finite.to(w), w).bool() for name, w in weights.items()}
        some = {name: torch.where(masks[name], w, 1.0) for name, w in weights.items()}
        placed = balanced(self.graph, some, self.tolerance, "keep")
        return {name: torch.where(masks[name], w, torch.nan) for name, w in placed.items()}


@dataclass(frozen=True)
class InCycles(Ruler):
    """The coordinates of a cycle chart: the weights in the gauge in which the skeleton has its first magnitudes.

    All networks are compared at the skeleton of one; where another's skeleton weights come close to zero, its
    coordinates are large.

    Attributes:
        graph: graph of the network.
        skeleton: the skeleton.
        magnitudes: of its out-edges in the gauge, one tensor ``(members, n)`` per pick.
    """

    graph: Graph
    skeleton: Skeleton
    magnitudes: tuple[Tensor, ...]

    @classmethod
    def at(cls, graph: Graph, weights: Weights) -> "InCycles":
        """Take the maxprod skeleton of ``weights``, and its magnitudes in the balanced gauge."""
        with torch.no_grad():
            start = balanced(graph, weights)
            skeleton = choose("maxprod", graph, start)
            return cls(graph, skeleton, tuple(pick.read(start[pick.name]) for pick in skeleton.out))

    def place(self, weights: Weights) -> dict[str, Tensor]:
        """Return the weights in the chart's gauge."""
        return to_gauge(self.graph, weights, self.skeleton, self.magnitudes)


@dataclass(frozen=True)
class InFunctions(Ruler):
    """Predictions at fixed images; two places are their mean Jensen-Shannon divergence apart.

    Attributes:
        network: description of the network.
        images: normalised inputs, ``(images, features)``.
        statistics: running statistics of the members, as they are when a place is taken, ``(members, ...)``.
    """

    network: Network
    images: Tensor
    statistics: Weights

    def place(self, weights: Weights) -> dict[str, Tensor]:
        """Return probabilities, ``(members, images, classes)``."""
        return {"probabilities": self.network.forward({**weights, **self.statistics}, self.images).softmax(-1)}

    def apart(self, first: Place, second: Place) -> Tensor:
        """Return the mean Jensen-Shannon divergence."""
        return predictions.js_divergence(*(place["probabilities"].double() for place in (first, second)))
