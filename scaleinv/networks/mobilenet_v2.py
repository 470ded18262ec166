"""MobileNetV2 for small images."""

from dataclasses import dataclass

from torch import Tensor, nn

from scaleinv.networks._layers import convolution, draw_he
from scaleinv.networks.base import ImageArchitecture

# Expansion, channels, blocks and stride of every stage (Sandler et al. 2018, table 2). The strides of the stem and of
# the second stage are 1 here, as is usual for images of 32 x 32 pixels.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
STEM, LAST = 32, 1280


class InvertedResidual(nn.Module):
    """A wide depthwise convolution between two 1 x 1 convolutions, and a shortcut where the shape is kept."""

    def __init__(self, into: int, out: int, stride: int, expansion: int, norm: bool) -> None:
        """Make the layers."""
        super().__init__()
        wide = expansion * into
        widen = [*convolution(into, wide, 1, norm), nn.ReLU()] if expansion > 1 else []
        depthwise = convolution(wide, wide, 3, norm, stride, groups=wide)
        self.body = nn.Sequential(*widen, *depthwise, nn.ReLU(), *convolution(wide, out, 1, norm))
        self.has_shortcut = into == out and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``body(x) + x``, or ``body(x)``."""
        return x + self.body(x) if self.has_shortcut else self.body(x)


@dataclass(frozen=True)
class MobileNetV2(ImageArchitecture):
    """MobileNetV2 with ReLU (Sandler et al. 2018). The original's ReLU6 clips, which no rescaling leaves unchanged.

    Attributes:
        width: factor of the numbers of channels, from 1/8.
        norm: whether batch norm follows every convolution.
    """

    width: float = 1.0
    norm: bool = True

    def __post_init__(self) -> None:
        """Check the width."""
        if not 0.125 <= self.width < float("inf"):
            raise ValueError(f"width must be at least 0.125 and finite, got {self.width}")

    def module(self, inputs: tuple[int, int, int], outputs: int) -> nn.Module:
        """Make a fresh module; see :meth:`ImageArchitecture.module`."""
        into = round(STEM * self.width)
        layers: list[nn.Module] = [*convolution(inputs[0], into, 3, self.norm), nn.ReLU()]
        for expansion, channels, blocks, stride in STAGES:
            out = round(channels * self.width)
            for i in range(blocks):
                layers.append(InvertedResidual(into, out, stride if i == 0 else 1, expansion, self.norm))
                into = out
        last = round(LAST * self.width)
        layers += [*convolution(into, last, 1, self.norm), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        return draw_he(nn.Sequential(*layers, nn.Linear(last, outputs)))
