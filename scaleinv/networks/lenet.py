"""LeNet-5."""

from dataclasses import dataclass

from torch import nn

from scaleinv.networks._layers import flat_features
from scaleinv.networks.base import ImageArchitecture

# Height and width of the images of the original network.
SIDE = 32


@dataclass(frozen=True)
class LeNet(ImageArchitecture):
    """LeNet-5 with ReLU: two convolutions with pooling, three linear layers (LeCun et al. 1998).

    As in the original, smaller images are padded with zeros to 32 x 32 pixels.

    Attributes:
        bias: whether every layer has a bias.
        pooling: ``max``, or ``avg`` as in the original.
    """

    bias: bool = True
    pooling: str = "max"

    def __post_init__(self) -> None:
        """Check the pooling."""
        if self.pooling not in ("max", "avg"):
            raise ValueError(f"pooling must be max or avg, got {self.pooling!r}")

    def module(self, inputs: tuple[int, int, int], outputs: int) -> nn.Sequential:
        """Make a fresh module; see :meth:`ImageArchitecture.module`."""
        channels, height, width = inputs
        padding = (max(0, SIDE - height) // 2, max(0, SIDE - width) // 2)
        pool = nn.MaxPool2d if self.pooling == "max" else nn.AvgPool2d
        convolutions = [
            nn.Conv2d(channels, 6, 5, padding=padding, bias=self.bias), nn.ReLU(), pool(2),
            nn.Conv2d(6, 16, 5, bias=self.bias), nn.ReLU(), pool(2),
            nn.Flatten(),
        ]  # fmt: skip
        features = flat_features(nn.Sequential(*convolutions), inputs)
        return nn.Sequential(
            *convolutions,
            nn.Linear(features, 120, bias=self.bias), nn.ReLU(),
            nn.Linear(120, 84, bias=self.bias), nn.ReLU(),
            nn.Linear(84, outputs, bias=self.bias),
        )  # fmt: skip
