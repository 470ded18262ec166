"""Plain and residual networks of the same layers (He et al. 2016)."""

from collections import OrderedDict

from torch import Tensor, nn

from scaleinv.networks._layers import convolution, draw_he


class Block(nn.Module):
    """Two 3 x 3 convolutions, with or without a shortcut around them.

    The shortcut is the identity, or a 1 x 1 convolution where the number of channels or the size changes.
    """

    def __init__(self, into: int, out: int, stride: int, norm: bool, shortcut: bool) -> None:
        """Make the layers; see :func:`staged`."""
        super().__init__()
        first, second = convolution(into, out, 3, norm, stride), convolution(out, out, 3, norm)
        self.body = nn.Sequential(*first, nn.ReLU(), *second)
        self.relu = nn.ReLU()
        self.shortcut: nn.Module | None = None
        if shortcut:
            is_changed = into != out or stride > 1
            self.shortcut = nn.Sequential(*convolution(into, out, 1, norm, stride)) if is_changed else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``relu(body(x) + shortcut(x))``, or ``relu(body(x))``."""
        y = self.body(x)
        return self.relu(y if self.shortcut is None else y + self.shortcut(x))


def blocks_of(depth: int) -> list[tuple[int, int]]:
    """Return width and number of blocks of every stage of a network with ``depth`` layers.

    Depths ``6 n + 2`` (8, 20, 32, 44, 56, 110) are the narrow networks for CIFAR, 18 and 34 those for ImageNet.

    Raises:
        ValueError: there is no such network.
    """
    if depth in (18, 34):
        return list(zip((64, 128, 256, 512), (2, 2, 2, 2) if depth == 18 else (3, 4, 6, 3), strict=True))
    if depth < 8 or depth % 6 != 2:
        raise ValueError(f"depth must be 18, 34 or 6 n + 2 (8, 20, 32, 44, 56, ...), got {depth}")
    return [(width, (depth - 2) // 6) for width in (16, 32, 64)]


def staged(channels: int, outputs: int, depth: int, norm: bool, shortcut: bool) -> nn.Module:
    """Make a network for small images: a 3 x 3 stem, stages of blocks, global average pooling, a linear layer.

    Every stage after the first halves the height and the width.

    Args:
        channels: number of channels of the images.
        outputs: number of outputs.
        depth: number of layers on the longest path, see :func:`blocks_of`.
        norm: whether batch norm follows every convolution.
        shortcut: whether blocks have shortcuts.
    """
    stages = blocks_of(depth)
    into = stages[0][0]
    parts: list[tuple[str, nn.Module]] = [("stem", nn.Sequential(*convolution(channels, into, 3, norm), nn.ReLU()))]
    for number, (width, count) in enumerate(stages):
        blocks = []
        for i in range(count):
            blocks.append(Block(into, width, 2 if number and i == 0 else 1, norm, shortcut))
            into = width
        parts.append((f"stage{number + 1}", nn.Sequential(*blocks)))
    parts += [("pool", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten()), ("head", nn.Linear(into, outputs))]
    return draw_he(nn.Sequential(OrderedDict(parts)))
