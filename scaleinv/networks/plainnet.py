"""Plain networks."""

from dataclasses import dataclass

from torch import nn

from scaleinv.networks._stages import blocks_of, staged
from scaleinv.networks.base import ImageArchitecture


@dataclass(frozen=True)
class PlainNet(ImageArchitecture):
    """The layers of a residual network without its shortcuts (He et al. 2016).

    Attributes:
        depth: number of layers: 6 n + 2 (8, 20, 32, ...) for widths 16, 32, 64, or 18 or 34 for 64 to 512.
        norm: whether batch norm follows every convolution.
    """

    depth: int = 20
    norm: bool = True

    def __post_init__(self) -> None:
        """Check the depth."""
        blocks_of(self.depth)

    def module(self, inputs: tuple[int, int, int], outputs: int) -> nn.Module:
        """Make a fresh module; see :meth:`ImageArchitecture.module`."""
        return staged(inputs[0], outputs, self.depth, self.norm, shortcut=False)
