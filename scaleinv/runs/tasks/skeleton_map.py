"""Which weights of a network are skeleton, free and fixed, read off a chart (thesis, figures 2.2, 2.3 and 3.1)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from scaleinv.networks.mlp import mlp
from scaleinv.runs.config import Config
from scaleinv.runs.environment import describe
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.folder import RunFolder
from scaleinv.runs.tasks.base import Task
from scaleinv.spaces._pinned import PinnedChart
from scaleinv.symmetry.network import Network

COLUMNS = ("space", "network", "layer", "head", "tail", "kind")


@dataclass(frozen=True)
class SkeletonMap(Task):
    """Make the space's chart for several widths and write the kind of each weight.

    ``fixed``: has no coordinate. ``root``: the free skeleton weight w_j. ``first``: another weight of the first
    layer, w_h. ``free``: any other, w_i.

    Attributes:
        widths: numbers of nodes per layer, inputs first; one list per network.
    """

    reads: ClassVar[tuple[str, ...]] = ("space", "seeds")
    widths: list[list[int]]

    def __post_init__(self) -> None:
        """Check the widths."""
        for sizes in self.widths:
            if len(sizes) < 3 or min(sizes) < 1:
                raise ValueError(f"a network needs a hidden layer, and a node in every layer; got {sizes}")

    def run(self, config: Config, folder: RunFolder) -> str:
        """Read the charts; see :meth:`Task.run`."""
        rows: list[tuple[Any, ...]] = [COLUMNS]
        for sizes in self.widths:
            label = "-".join(map(str, sizes))
            network = mlp(sizes)
            chart = config.space.chart(network.graph, network.init([config.seeds[0]]))
            if not isinstance(chart, PinnedChart):
                space = config.labels["space"]
                raise ConfigError("this space has no skeleton", f"space={space}", "take gspace or fixed")
            for layer, kinds in enumerate(_kinds(network, chart), 1):
                for head, row in enumerate(kinds):
                    rows += [(config.labels["space"], label, layer, head, tail, kind) for tail, kind in enumerate(row)]
        folder.metrics.unlink(missing_ok=True)
        folder.append(folder.metrics, rows)
        folder.finish((), **describe(torch.device("cpu")))
        return f"{len(rows) - 1} weights in {len(self.widths)} networks"


def _kinds(network: Network, chart: PinnedChart) -> list[list[list[str]]]:
    graph, fixed = network.graph, chart.fixed()
    is_root = {name: torch.zeros(shape, dtype=torch.bool) for name, shape in graph.shapes.items()}
    for pick, free in zip(chart.skeleton.into, chart.skeleton.is_root(graph), strict=True):
        mask = is_root[pick.name].view(-1)
        mask[pick.index.flatten()[free.flatten()]] = True
    layers = []
    for i, layer in enumerate(network.chain):
        name = layer.weight
        taken = fixed.get(name, torch.zeros(graph.shapes[name], dtype=torch.bool))
        taken = taken.reshape(graph.shapes[name])
        layers.append([_row(*pair, "first" if i == 0 else "free") for pair in zip(taken, is_root[name], strict=True)])
    return layers


def _row(fixed: Tensor, root: Tensor, other: str) -> list[str]:
    pairs = zip(fixed.tolist(), root.tolist(), strict=True)
    return ["fixed" if is_fixed else "root" if is_root else other for is_fixed, is_root in pairs]
