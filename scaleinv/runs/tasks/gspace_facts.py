"""What the source's unit tests of G-space claim (thesis, 2.2.4), measured again."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from scaleinv.networks.mlp import mlp
from scaleinv.reference import gradients, published_step
from scaleinv.runs.config import Config
from scaleinv.runs.environment import describe
from scaleinv.runs.folder import RunFolder
from scaleinv.runs.tasks.base import Task
from scaleinv.spaces import GSpace
from scaleinv.symmetry.graph import Weights
from scaleinv.symmetry.network import Network

COLUMNS = ("network", "seed", "fact", "value")
STEPS, IMAGES, LR = 20, 16, 0.01


@dataclass(frozen=True)
class GspaceFacts(Task):
    """Measure quantities that are 0 if the claims are true, at PyTorch's default initialisation, in float64.

    ``dim``: number of coordinates minus (m - H). ``round trip``: largest ``|f^-1(f(w)) - w|`` with the skeleton
    overwritten, as published. ``round trip, kept``: the same with the skeleton kept. ``skeleton moved``: largest change
    of a fixed weight in 20 steps of SGD. ``published``: largest difference of a weight from 20 steps of the published
    algorithm.

    Attributes:
        widths: numbers of nodes per layer, inputs first, all hidden ones equal; one list per network.
    """

    reads: ClassVar[tuple[str, ...]] = ("seeds",)
    widths: list[list[int]]

    def __post_init__(self) -> None:
        """Check the widths: the published algorithm takes only equal hidden widths."""
        for sizes in self.widths:
            if len(sizes) < 3 or len(set(sizes[1:-1])) != 1:
                raise ValueError(f"needs hidden layers, all of one width; got {sizes}")

    def run(self, config: Config, folder: RunFolder) -> str:
        """Measure; see :meth:`Task.run`."""
        rows: list[tuple[Any, ...]] = [COLUMNS]
        for sizes in self.widths:
            network = mlp(sizes)
            for seed in config.seeds:
                label = "-".join(map(str, sizes))
                rows += [(label, seed, fact, value) for fact, value in _facts(network, seed)]
        folder.metrics.unlink(missing_ok=True)
        folder.append(folder.metrics, rows)
        folder.finish((), **describe(torch.device("cpu")))
        return f"{len(rows) - 1} facts"


def _facts(network: Network, seed: int) -> Iterator[tuple[str, float]]:
    graph = network.graph
    drawn = {name: w[0] for name, w in network.init([seed], torch.float64).items()}
    chart = GSpace().chart(graph, drawn)
    yield "dim", float(chart.dim - (graph.parameters - graph.hidden))
    yield "round trip", _apart(chart.to_weights(chart.origin), drawn)
    kept = GSpace(fix="keep").chart(graph, drawn)
    yield "round trip, kept", _apart(kept.to_weights(kept.to_coords(drawn)), drawn)
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(IMAGES, network.sizes[0], dtype=torch.float64, generator=generator)
    labels = torch.randint(network.sizes[-1], (IMAGES,), generator=generator)
    weights, matrices = chart.start(), [w.clone() for w in chart.start().values()]
    for _ in range(STEPS):
        grads = gradients(network, weights, images, labels)[1]
        direction = chart.pullback(weights, grads)
        weights = chart.retract(weights, direction, torch.tensor(-LR, dtype=torch.float64))
        own = gradients(network, dict(zip(graph.shapes, matrices, strict=True)), images, labels)[1]
        matrices = published_step(matrices, list(own.values()), LR)
    moved = [
        (weights[name] - w)[mask].abs().max() for name, mask in chart.fixed().items() for w in [chart.weights[name]]
    ]
    yield "skeleton moved", float(max(moved))
    yield "published", _apart(weights, dict(zip(graph.shapes, matrices, strict=True)))


def _apart(first: Weights, second: Weights) -> float:
    """Return the largest absolute difference between two sets of weights."""
    differences: list[Tensor] = [(first[name] - second[name]).abs().max() for name in second]
    return float(max(differences))
