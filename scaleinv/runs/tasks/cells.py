"""Count the cells of networks in the plane exactly, and with grids: the uniform-width study (P 2.2.4)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from scaleinv.networks.mlp import mlp
from scaleinv.optim import Adam
from scaleinv.patterns.arrangement import count_cells, most_cells
from scaleinv.patterns.cells import cut
from scaleinv.patterns.plane import Plane, grid, patterns_at
from scaleinv.patterns.uniform import uniform_network
from scaleinv.runs.build import build_dataset
from scaleinv.runs.config import Config
from scaleinv.runs.environment import describe
from scaleinv.runs.folder import RunFolder
from scaleinv.runs.tasks.base import Task
from scaleinv.spaces import WeightSpace
from scaleinv.symmetry.network import Network
from scaleinv.training.cell import LR, Cell
from scaleinv.training.stack import Stack

# Half width of P's square.
SQUARE = 5.0
COLUMNS = ("part", "setting", "x", "seed", "layer", "half_width", "method", "count")
EXACT, PLANE = "exact", "whole plane"
# Bias and shift of batch norm by setting.
NORMS: dict[str, tuple[float | None, float | None]] = {
    "bias 1": (1.0, None),
    "uniform biases": (None, None),
    "batch norm, beta 0": (None, 0.0),
    "batch norm, beta 1": (None, 1.0),
}
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Cells(Task):
    """Rows of ``metrics.csv``: part, setting, x (width, bias or epoch), seed, layer, square, method, and the count.

    The methods: ``exact`` counts the patterns of one layer in the square by cutting polygons (of one hidden layer, by
    its arrangement of lines), ``grid n`` those at n x n points, ``whole plane`` what lines in general position give.

    Attributes:
        widths: widths of single layers with uniform biases.
        biases: biases, the same for all nodes, of a single layer.
        bias_width: width of that layer.
        depth: number of layers of deep networks, with each of several norms.
        depth_width: their width.
        resolutions: points of the grids along each side.
        hidden: widths of a network that is trained on the data set.
        epochs: epochs after which its cells are counted, ascending, on planes through three images each.
        triples: number of planes.
    """

    reads: ClassVar[tuple[str, ...]] = ("dataset", "seeds", "dtype")
    widths: list[int]
    biases: list[float]
    bias_width: int
    depth: int
    depth_width: int
    resolutions: list[int]
    hidden: list[int]
    epochs: list[int]
    triples: int

    def __post_init__(self) -> None:
        """Check the ranges."""
        counts = (*self.widths, self.bias_width, self.depth, self.depth_width, *self.resolutions, *self.hidden)
        if not self.resolutions or min(counts) < 1 or self.triples < 0:
            raise ValueError("widths, depths and resolutions must be at least 1, and triples at least 0")
        if list(self.epochs) != sorted(set(self.epochs)) or (self.epochs and self.epochs[0] < 0):
            raise ValueError(f"epochs must ascend from at least 0, got {self.epochs}")

    def run(self, config: Config, folder: RunFolder) -> str:
        """Count; see :meth:`Task.run`."""
        rows: list[Row] = [COLUMNS]
        for seed in config.seeds:
            rows += [*self._widths(seed), *self._biases(seed), *self._depths(seed), *self._training(config, seed)]
        folder.metrics.unlink(missing_ok=True)
        folder.append(folder.metrics, rows)
        folder.finish((), **describe(torch.device("cpu")))
        return f"{len(rows) - 1} counts"

    def _widths(self, seed: int) -> Iterator[Row]:
        for width in self.widths:
            for method, count in self._single(*uniform_network(width, 1, seed)):
                yield ("width", "uniform biases", width, seed, 1, SQUARE, method, count)
            yield ("width", "uniform biases", width, seed, 1, float("inf"), PLANE, most_cells(width))

    def _biases(self, seed: int) -> Iterator[Row]:
        for bias in self.biases:
            for method, count in self._single(*uniform_network(self.bias_width, 1, seed, bias)):
                yield ("bias", f"width {self.bias_width}", bias, seed, 1, SQUARE, method, count)

    def _single(self, network: Network, tensors: dict[str, Tensor]) -> Iterator[tuple[str, int]]:
        """Count the cells of one hidden layer, by its lines, and with grids."""
        (hidden, _) = network.chain
        assert hidden.bias is not None
        normals, offsets = tensors[hidden.weight].numpy(), tensors[hidden.bias].numpy()
        # All lines through one point are not in general position: two cells each.
        lines = 2 * len(offsets) if not offsets.any() else count_cells(normals, offsets, SQUARE)
        yield EXACT, lines
        for points in self.resolutions:
            (key,) = patterns_at(network, tensors, Plane.whole(), grid(SQUARE, points))
            yield f"grid {points}", len(key.unique())

    def _depths(self, seed: int) -> Iterator[Row]:
        for setting, (bias, shift) in NORMS.items():
            network, tensors = uniform_network(self.depth_width, self.depth, seed, bias, shift)
            for layer, count in enumerate(cut(network, tensors, Plane.whole(), SQUARE).counts, 1):
                yield ("depth", setting, layer, seed, layer, SQUARE, EXACT, count)
            points = max(self.resolutions)
            for layer, key in enumerate(patterns_at(network, tensors, Plane.whole(), grid(SQUARE, points)), 1):
                yield ("depth", setting, layer, seed, layer, SQUARE, f"grid {points}", len(key.unique()))

    def _training(self, config: Config, seed: int) -> Iterator[Row]:
        """Train with Adam and count on planes through three training images, on P's square and on a smaller one."""
        data = build_dataset(config)
        network = mlp((data.features, *self.hidden, data.classes), bias=True)
        cell = Cell(network, data, WeightSpace(), Adam(), {LR: [1e-3]}, [seed], epochs=max(self.epochs, default=0))
        stack = Stack(cell, cell.members, captures=False)
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(data.train), generator=generator)[: 3 * self.triples].view(-1, 3)
        planes = [Plane.through(data.normalise(data.train.images[three]).cpu()) for three in chosen]
        trained = 0
        for epoch in self.epochs:
            while trained < epoch:
                trained += 1
                stack.train_epoch(trained)
            tensors = {name: w[0].cpu() for name, w in stack.weights.items()}
            for plane in planes:
                for half_width in (1.0, SQUARE):
                    points = min(self.resolutions)
                    for layer, key in enumerate(patterns_at(network, tensors, plane, grid(half_width, points)), 1):
                        row = ("training", f"width {self.hidden[layer - 1]}", epoch, seed, layer, half_width)
                        yield (*row, f"grid {points}", len(key.unique()))
                for layer, count in enumerate(cut(network, tensors, plane, 1.0).counts, 1):
                    yield ("training", f"width {self.hidden[layer - 1]}", epoch, seed, layer, 1.0, EXACT, count)
