"""Compare the choices of a skeleton: how far its products spread, what rescaling by them costs, whether it stays."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from scaleinv.networks.mlp import mlp
from scaleinv.runs.config import Config
from scaleinv.runs.environment import describe
from scaleinv.runs.folder import RunFolder
from scaleinv.runs.tasks.base import Task
from scaleinv.symmetry.graph import Weights
from scaleinv.symmetry.group import random_scales, rescale
from scaleinv.symmetry.network import Network
from scaleinv.symmetry.skeleton import CHOICES, choose

COLUMNS = ("network", "choice", "seed", "decades", "round_off", "moved")


@dataclass(frozen=True)
class SkeletonSelection(Task):
    """Measure every choice of a skeleton at drawn weights (maths.md, 2.7 and section 6, E4).

    ``decades``: log10 of the largest over the smallest absolute S, the factors by which the network is rescaled so that
    its fixed weights are +-1. ``round_off``: largest change of an output by that rescaling in float32, relative to the
    largest output. ``moved``: share of the hidden nodes with another fixed weight after a random rescaling.

    Attributes:
        widths: numbers of nodes per layer, inputs first; one list per network.
        images: number of random inputs.
    """

    reads: ClassVar[tuple[str, ...]] = ("seeds",)
    widths: list[list[int]]
    images: int

    def __post_init__(self) -> None:
        """Check the widths."""
        for sizes in self.widths:
            if len(sizes) < 3 or min(sizes) < 1:
                raise ValueError(f"widths must list a hidden layer, and a node in every layer; got {sizes}")

    def run(self, config: Config, folder: RunFolder) -> str:
        """Measure; see :meth:`Task.run`."""
        rows: list[tuple[Any, ...]] = [COLUMNS]
        for sizes in self.widths:
            network = mlp(sizes)
            for seed in config.seeds:
                weights = {name: w[0] for name, w in network.init([seed], torch.float64).items()}
                for choice in CHOICES:
                    label = "-".join(map(str, sizes))
                    rows.append((label, choice, seed, *measure(network, weights, choice, seed, self.images)))
        folder.metrics.unlink(missing_ok=True)
        folder.append(folder.metrics, rows)
        folder.finish((), **describe(torch.device("cpu")))
        return f"{len(CHOICES)} choices in {len(self.widths)} networks, {len(config.seeds)} draws each"


def measure(network: Network, weights: Weights, choice: str, seed: int, images: int) -> tuple[float, float, float]:
    """Return decades, round-off and moved share of a choice; see :class:`SkeletonSelection`."""
    graph, generator = network.graph, torch.Generator().manual_seed(seed)
    skeleton = choose(choice, graph, weights)
    factors = skeleton.suffix(graph, weights).abs()[..., 1:]
    x = torch.randn(images, network.features, dtype=torch.float64, generator=generator)
    single = {name: w.float() for name, w in weights.items()}
    rescaled = rescale(graph, single, factors.float())
    before, after = network.forward(single, x.float()).double(), network.forward(rescaled, x.float()).double()
    change = ((after - before).abs().max() / before.abs().max()).nan_to_num(torch.inf)
    other = choose(choice, graph, rescale(graph, weights, random_scales(graph, generator=generator)))
    ends = [torch.cat([pick.ends.flatten() for pick in one.out]) for one in (skeleton, other)]
    decades = (factors.max() / factors.min()).log10()
    return decades.item(), change.item(), (ends[0] != ends[1]).double().mean().item()
