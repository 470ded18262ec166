"""Small plain convolutional networks."""

from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from scaleinv.networks._layers import convolution, flat_features
from scaleinv.networks.base import ImageArchitecture

POOLS = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d, "none": None}


@dataclass(frozen=True)
class CNN(ImageArchitecture):
    """3 x 3 convolutions with ReLU and 2 x 2 pooling after each, then linear layers.

    Attributes:
        channels: channels of the convolutions.
        hidden: widths of the linear layers between the convolutions and the outputs.
        bias: whether every layer has a bias; with batch norm the convolutions have none.
        pooling: ``max``, ``avg`` or ``none``.
        norm: whether batch norm follows every convolution.
    """

    channels: list[int]
    hidden: list[int]
    bias: bool = True
    pooling: str = "max"
    norm: bool = False

    def __post_init__(self) -> None:
        """Check the widths and the pooling."""
        for key, widths in (("channels", self.channels), ("hidden", self.hidden)):
            if any(width < 1 for width in widths):
                raise ValueError(f"{key} must be 1 or more in every layer, got network.{key}={widths}")
        if self.pooling not in POOLS:
            raise ValueError(f"pooling must be one of {', '.join(POOLS)}, got {self.pooling!r}")

    def module(self, inputs: tuple[int, int, int], outputs: int) -> nn.Sequential:
        """Make a fresh module; see :meth:`ImageArchitecture.module`."""
        pool = POOLS[self.pooling]
        layers: list[nn.Module] = []
        for into, out in pairwise((inputs[0], *self.channels)):
            layers += [*convolution(into, out, 3, self.norm, bias=self.bias), nn.ReLU()]
            layers += [pool(2)] if pool else []
        layers.append(nn.Flatten())
        widths = (flat_features(nn.Sequential(*layers), inputs), *self.hidden)
        for into, out in pairwise(widths):
            layers += [nn.Linear(into, out, bias=self.bias), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(widths[-1], outputs, bias=self.bias))
