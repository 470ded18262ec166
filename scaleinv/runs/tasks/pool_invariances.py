"""Count the scale invariances of convolutional networks with and without pooling (thesis, 3.0.5)."""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import nn

from scaleinv.runs.config import Config
from scaleinv.runs.environment import describe
from scaleinv.runs.folder import RunFolder
from scaleinv.runs.tasks.base import Task
from scaleinv.runs.tasks.count_invariances import jacobian_rank
from scaleinv.symmetry import trace

COLUMNS = ("pooling", "size", "stride", "bias", "seed", "parameters", "channels", "windows", "jacobian_rank")
# One image of SIDE x SIDE pixels, a 3 x 3 convolution without padding, ReLU, pooling, a linear layer.
SIDE, KERNEL, OUTPUTS = 6, 3, 3
POOLS: dict[str, type[nn.Module]] = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}


@dataclass(frozen=True)
class PoolInvariances(Task):
    """Count m - rank of the Jacobian, m the number of weights, of networks that differ in their pooling only.

    The rank is that of the derivatives of the outputs at many random inputs; see
    :class:`scaleinv.runs.tasks.count_invariances.CountInvariances`.

    Attributes:
        channels: number of channels of the convolution.
        pools: kind (max, avg), size and stride of the windows; one list ``[kind, size, stride]`` per network. Windows
            overlap if the stride is smaller than the size; size 1 pools nothing.
        images: number of random inputs.
    """

    reads: ClassVar[tuple[str, ...]] = ("seeds",)
    channels: int
    pools: list[list[Any]]
    images: int

    def __post_init__(self) -> None:
        """Check the pools."""
        largest = SIDE - KERNEL + 1
        for pool in self.pools:
            kind, size, stride = pool if len(pool) == 3 else (None, 0, 0)
            if kind not in POOLS or not (isinstance(size, int) and isinstance(stride, int)) or not 0 < size <= largest:
                raise ValueError(f"pools must be lists of max or avg, a size up to {largest} and a stride, got {pool}")
            if stride < 1:
                raise ValueError(f"pools must have strides from 1, got {pool}")

    def run(self, config: Config, folder: RunFolder) -> str:
        """Count; see :meth:`Task.run`."""
        rows: list[tuple[Any, ...]] = [COLUMNS]
        for kind, size, stride in self.pools:
            windows = ((SIDE - KERNEL + 1 - size) // stride + 1) ** 2
            for bias in (False, True):
                make = partial(pooled, self.channels, POOLS[kind](size, stride), windows, bias)
                network = trace.describe(make(), torch.zeros(2, 1, SIDE, SIDE))
                shape = (network.graph.parameters, self.channels, windows)
                for seed in config.seeds:
                    rank = jacobian_rank(network, seed, self.images)
                    rows.append((kind if size > 1 else "none", size, stride, bias, seed, *shape, rank))
        folder.metrics.unlink(missing_ok=True)
        folder.append(folder.metrics, rows)
        folder.finish((), **describe(torch.device("cpu")))
        return f"{len(rows) - 1} ranks of {len(self.pools)} networks, with and without biases"


def pooled(channels: int, pool: nn.Module, windows: int, bias: bool) -> nn.Sequential:
    """Make the network."""
    convolution = nn.Conv2d(1, channels, KERNEL, bias=bias)
    return nn.Sequential(convolution, nn.ReLU(), pool, nn.Flatten(), nn.Linear(channels * windows, OUTPUTS, bias=bias))
