"""Other weights of the same function: one hidden node rescaled, two in each other's place (thesis, 1.2)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from scaleinv.networks.mlp import mlp
from scaleinv.runs.config import Config
from scaleinv.runs.environment import describe
from scaleinv.runs.folder import RunFolder
from scaleinv.runs.tasks.base import Task
from scaleinv.symmetry.group import rescale
from scaleinv.symmetry.permutation import permute

COLUMNS = ("seed", "symmetry", "layer", "head", "tail", "weight", "drawn", "change")


@dataclass(frozen=True)
class EqualNetworks(Task):
    """Write every weight before and after a rescaling and a permutation, in float64.

    ``change`` is the largest difference of an output from the drawn network's, at random inputs.

    Attributes:
        widths: numbers of nodes per layer, inputs first.
        node: hidden node that is rescaled, from 1.
        factor: what the weights into it are multiplied by and those out of it divided by.
        exchanged: two hidden nodes of one layer.
        images: number of random inputs.
    """

    reads: ClassVar[tuple[str, ...]] = ("seeds",)
    widths: list[int]
    node: int
    factor: float
    exchanged: list[int]
    images: int

    def __post_init__(self) -> None:
        """Check that there are such nodes."""
        if len(self.widths) < 3 or min(self.widths) < 1:
            raise ValueError(f"a network needs a hidden layer, and a node in every layer; got widths={self.widths}")
        hidden = sum(self.widths[1:-1])
        if not 1 <= self.node <= hidden:
            raise ValueError(f"node must be from 1 to {hidden}, the number of hidden nodes, got {self.node}")
        if not 0 < self.factor < float("inf"):
            raise ValueError(f"factor must be finite and greater than 0, got {self.factor}")
        layers = [layer for layer, width in enumerate(self.widths[1:-1]) for _ in range(width)]
        places = [layers[node - 1] for node in self.exchanged if 1 <= node <= hidden]
        if len(set(self.exchanged)) != 2 or len(self.exchanged) != 2 or len(places) != 2 or len(set(places)) != 1:
            raise ValueError(f"exchanged must be two hidden nodes of one layer, got {self.exchanged}")
        if self.images < 1:
            raise ValueError(f"images must be at least 1, got {self.images}")

    def run(self, config: Config, folder: RunFolder) -> str:
        """Write the weights; see :meth:`Task.run`."""
        network = mlp(self.widths)
        rows: list[tuple[Any, ...]] = [COLUMNS]
        scales = torch.ones(network.graph.hidden, dtype=torch.float64)
        scales[self.node - 1] = self.factor
        first, second = self.exchanged
        source = torch.arange(network.graph.hidden + 1)
        source[[first, second]] = source[[second, first]]
        for seed in config.seeds:
            drawn = {name: w[0] for name, w in network.init([seed], torch.float64).items()}
            generator = torch.Generator().manual_seed(seed)
            images = torch.randn(self.images, self.widths[0], dtype=torch.float64, generator=generator)
            outputs = network.forward(drawn, images)
            for symmetry, weights in (
                ("none", drawn),
                ("rescaling", rescale(network.graph, drawn, scales)),
                ("permutation", permute(network.graph, drawn, source)),
            ):
                change = float((network.forward(weights, images) - outputs).abs().max())
                for layer, linear in enumerate(network.chain, 1):
                    pairs: Any = zip(weights[linear.weight].tolist(), drawn[linear.weight].tolist(), strict=True)
                    for head, (row, before) in enumerate(pairs):
                        for tail, (w, old) in enumerate(zip(row, before, strict=True)):
                            rows.append((seed, symmetry, layer, head, tail, w, old, change))
        folder.metrics.unlink(missing_ok=True)
        folder.append(folder.metrics, rows)
        folder.finish((), **describe(torch.device("cpu")))
        return f"{len(rows) - 1} weights of networks with one function"
