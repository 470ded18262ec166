"""VGG networks for small images."""

from dataclasses import dataclass

from torch import nn

from scaleinv.networks._layers import convolution, draw_he, flat_features
from scaleinv.networks.base import ImageArchitecture

# Channels of the convolutions of each stage, which ends with a 2 x 2 max pool (Simonyan, Zisserman 2015, table 1).
STAGES = {
    11: ([64], [128], [256, 256], [512, 512], [512, 512]),
    13: ([64, 64], [128, 128], [256, 256], [512, 512], [512, 512]),
    16: ([64, 64], [128, 128], [256] * 3, [512] * 3, [512] * 3),
}


@dataclass(frozen=True)
class VGG(ImageArchitecture):
    """VGG as it is used for CIFAR: the convolutions of the original, then one linear layer.

    Pooling rounds sizes up, so that it takes images of any size.

    Attributes:
        depth: number of layers with weights in the original: 11, 13 or 16.
        norm: whether batch norm follows every convolution.
    """

    depth: int = 11
    norm: bool = True

    def __post_init__(self) -> None:
        """Check the depth."""
        if self.depth not in STAGES:
            raise ValueError(f"depth must be one of {', '.join(map(str, STAGES))}, got {self.depth}")

    def module(self, inputs: tuple[int, int, int], outputs: int) -> nn.Module:
        """Make a fresh module; see :meth:`ImageArchitecture.module`."""
        layers: list[nn.Module] = []
        into = inputs[0]
        for stage in STAGES[self.depth]:
            for out in stage:
                layers += [*convolution(into, out, 3, self.norm), nn.ReLU()]
                into = out
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        layers.append(nn.Flatten())
        features = flat_features(nn.Sequential(*layers), inputs)
        return draw_he(nn.Sequential(*layers, nn.Linear(features, outputs)))
