"""What a parameter space and its charts are.

A *space* is a choice (a frozen dataclass of options). A *chart* is that choice made at given weights: coordinates
around them, with the skeleton and the gauge frozen. Training needs two maps, both in closed form: the *pullback*
of a gradient to the coordinates, and the *retraction* that moves the weights by a step in the coordinates. So the
weights are the only state, and no coordinate vector is ever stored:

    g = gradient of the loss at w;   d = optimizer(chart.pullback(w, g));   w = chart.retract(w, d, -lr)

Quantities that both maps need are computed from the weights once per step, in a *frame*.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from scaleinv.spaces import _foreach as foreach
from scaleinv.spaces._gradient import Gradient
from scaleinv.symmetry.graph import Graph, Weights

Coords = dict[str, Tensor]


@dataclass(frozen=True)
class Support:
    """Whether a space can take a network: true if it can, else ``reasons`` says why not."""

    reasons: tuple[str, ...] = field(default=())

    def __bool__(self) -> bool:
        """Return True if the space can take the network."""
        return not self.reasons

    def raise_if_unsupported(self) -> None:
        """Raise with the reasons, if there are any.

        Raises:
            UnsupportedSpaceError: the space cannot take the network.
        """
        if self.reasons:
            raise UnsupportedSpaceError("; ".join(self.reasons))


class UnsupportedSpaceError(ValueError):
    """A space cannot take a network; the message says why."""


class ParameterSpace(ABC):
    """A way to put coordinates on a network's weights. Subclasses are frozen dataclasses of options.

    Attributes:
        has_gauges: whether the coordinates are the weights, so that other weights of the same function are another
            place to train from. Where coordinates depend on the orbit alone, a change of the gauge changes nothing.
    """

    has_gauges: ClassVar[bool] = False

    @property
    def ignored(self) -> Mapping[str, str]:
        """Options that have no effect here, each with the setting that it needs: ``{"value": "fix=overwrite"}``."""
        return {}

    def supports(self, graph: Graph) -> Support:
        """Say whether this space can take the network, and if not, why."""
        return Support()

    @abstractmethod
    def chart(self, graph: Graph, weights: Weights) -> "Chart":
        """Freeze skeleton and gauge at ``weights`` and return coordinates around them.

        Args:
            graph: graph of the network.
            weights: tensors ``(*members, own shape)``.

        Raises:
            UnsupportedSpaceError: the space cannot take the network.
            ValueError: it cannot take these weights (for example, a skeleton weight is zero).
        """


@dataclass(frozen=True)
class Frame:
    """What a chart's maps need at one point; valid until the weights change.

    Attributes:
        weights: the point, in the chart's own gauge, contiguous tensors ``(*members, own shape)``.
    """

    weights: dict[str, Tensor]


class Chart(ABC):
    """Coordinates around the weights that the chart was made at.

    Coordinates have the names and shapes of the weights. Where a weight is fixed there is no coordinate: that
    entry is zero and stays zero under every elementwise optimizer.

    Attributes:
        graph: graph of the network.
        weights: the starting network, in the chart's own gauge.
        dim: number of free scalars per member: m, or m - K.
    """

    def __init__(self, graph: Graph, weights: Weights, dim: int) -> None:
        """Make the chart at ``weights``, which are in its own gauge."""
        self.graph = graph
        self.weights = weights
        self.dim = dim

    @property
    def origin(self) -> Coords:
        """Coordinates of the starting network."""
        return self.to_coords(self.weights)

    @abstractmethod
    def to_weights(self, coords: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights at ``coords``, in the chart's own gauge; differentiable."""

    @abstractmethod
    def to_coords(self, weights: Weights) -> Coords:
        """Return the coordinates of ``weights``: the inverse of :meth:`to_weights`.

        Invariant spaces give every rescaling of a network the same coordinates.
        """

    def begin(self, weights: dict[str, Tensor]) -> Frame:
        """Begin a step at ``weights``, which are in the chart's own gauge and contiguous."""
        return Frame(weights)

    @abstractmethod
    def pullback_(self, frame: Frame, grads: dict[str, Tensor]) -> dict[str, Tensor]:
        """Turn gradients by the weights into gradients by the coordinates: ``J^T g``, J = d weights / d coords.

        Args:
            frame: frame of the point, from :meth:`begin`.
            grads: gradients at the point, contiguous; their memory is used for the result.
        """

    def pullback_metric(self, frame: Frame, metric: dict[str, Tensor]) -> dict[str, Tensor]:
        """Turn a diagonal metric of the weights into one of the coordinates: the diagonal of ``J^T diag(metric) J``.

        This default is for charts with the free weights as coordinates. At fixed weights the result means nothing.

        Args:
            frame: frame of the point, from :meth:`begin`.
            metric: a number per weight, at least 0; not changed, but it may be the result.
        """
        return metric

    def retract_(self, frame: Frame, direction: dict[str, Tensor], step: Tensor) -> None:
        """Set the weights to ``to_weights(to_coords(weights) + step * direction)`` in place.

        This default, ``w += step * direction``, is for charts with the free weights as coordinates.

        Args:
            frame: frame of the point, from :meth:`begin`; not valid afterwards.
            direction: change of the coordinates, zero where a weight is fixed; its memory may be used.
            step: factor per member, in training minus the learning rate, shape ``(*members,)``.
        """
        foreach.add_scaled_(list(frame.weights.values()), [direction[name] for name in frame.weights], step)

    def descend_(self, frame: Frame, gradient: Gradient, step: Tensor) -> None:
        """Take a step of plain gradient descent in place: :meth:`pullback_`, then :meth:`retract_`.

        Where both together only add a multiple of the gradient, a chart can add it as a product of thin matrices,
        without writing the gradient out.

        Args:
            frame: frame of the point, from :meth:`begin`; not valid afterwards.
            gradient: gradient at the point; not valid afterwards.
            step: factor per member, in training minus the learning rate, shape ``(members,)``.
        """
        self.retract_(frame, self.pullback_(frame, gradient.whole(frame.weights)), step)

    @abstractmethod
    def at(self, weights: Weights) -> "Chart":
        """Return this chart at other weights: same skeleton, nothing overwritten."""

    def start(self) -> dict[str, Tensor]:
        """Return contiguous copies of the starting weights, ready to be trained in place."""
        return _copies(self.weights)

    def pullback(self, weights: Weights, grads: Weights) -> dict[str, Tensor]:
        """Return gradients by the coordinates; like :meth:`pullback_`, but the arguments are not changed."""
        return self.pullback_(self.begin(dict(weights)), _copies(grads))

    def retract(self, weights: Weights, direction: Weights, step: Tensor) -> dict[str, Tensor]:
        """Return the moved weights; like :meth:`retract_`, but the arguments are not changed."""
        moved = _copies(weights)
        self.retract_(self.begin(moved), _copies(direction), step)
        return moved

    def fixed(self) -> dict[str, Tensor]:
        """Return masks that are True at fixed weights, ``(own shape)`` or ``(*members, own shape)``, by name."""
        return {}


def _copies(tensors: Weights) -> dict[str, Tensor]:
    return {name: t.clone(memory_format=torch.contiguous_format) for name, t in tensors.items()}
