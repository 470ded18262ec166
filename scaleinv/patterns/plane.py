"""Planes through inputs, and the patterns at the points of a grid on them (P 2.2.3)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from scaleinv.patterns.bits import keys, pack, require_activations
from scaleinv.patterns.record import Recorder
from scaleinv.symmetry.graph import Weights
from scaleinv.symmetry.network import Network

# Points that a grid evaluates at once.
_POINTS = 2**14


@dataclass(frozen=True)
class Plane:
    """The inputs ``origin + u across + v up``; its square of half width r is ``|u|, |v| <= r``.

    Attributes:
        origin: an input, ``(features,)``.
        across: direction of u.
        up: direction of v.
    """

    origin: Tensor
    across: Tensor
    up: Tensor

    @classmethod
    def whole(cls) -> "Plane":
        """Return the plane of networks with two inputs, in which u and v are the inputs."""
        zero, one = torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)
        return cls(zero, one[0], one[1])

    @classmethod
    def through(cls, inputs: Tensor) -> "Plane":
        """Return the plane through three inputs ``(3, features)``, which lie at (0, 0), (1, 0) and (0, 1).

        u and v are neither orthogonal nor of equal length; see :attr:`lengths` and :attr:`cosine`.

        Raises:
            ValueError: the inputs lie on a line.
        """
        origin, first, second = inputs.double()
        plane = cls(origin, first - origin, second - origin)
        if not 1 - plane.cosine**2 > 1e-12:  # NaN where two are equal
            raise ValueError("three inputs on a line do not span a plane")
        return plane

    @property
    def lengths(self) -> tuple[float, float]:
        """Distances of the second and the third input from the first."""
        return float(self.across.norm()), float(self.up.norm())

    @property
    def cosine(self) -> float:
        """Cosine of the angle between the two directions."""
        return float(self.across @ self.up) / (self.lengths[0] * self.lengths[1] or float("nan"))

    def at(self, points: Tensor) -> Tensor:
        """Return the inputs ``(n, features)`` at coordinates ``(n, 2)``."""
        return self.origin + points.double() @ torch.stack([self.across, self.up])


def grid(half_width: float, points: int) -> Tensor:
    """Return the coordinates of a grid on a square, ``(points^2, 2)``, rows from bottom to top; float64."""
    axis = torch.linspace(-half_width, half_width, points, dtype=torch.float64)
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([u.flatten(), v.flatten()], -1)


def patterns_at(network: Network, tensors: Weights, plane: Plane, points: Tensor) -> list[Tensor]:
    """Return the key of every layer's pattern at points of a plane; of a convolutional layer, of all positions.

    Args:
        network: description of the network.
        tensors: parameters and buffers of one member, without member dims.
        plane: the plane.
        points: coordinates, ``(n, 2)``.

    Returns:
        Keys ``(n,)``, one tensor per activation layer.
    """
    double = {name: t.double() if t.is_floating_point() else t for name, t in tensors.items()}
    program = network.program
    parts: list[list[Tensor]] = []
    for some in points.split(_POINTS):
        with torch.no_grad(), Recorder() as recorder:
            program.run(double, plane.at(some).unflatten(-1, network.inputs))
        require_activations(recorder.inputs)
        # Channels and positions together are the bits of a point.
        whole = [z.unflatten(1, (len(some), -1)).transpose(1, 2).flatten(0, 1) for z in recorder.inputs]
        parts.append([keys(pack(z[None]))[0] for z in whole])
    return [torch.cat(layer) for layer in zip(*parts, strict=True)]
