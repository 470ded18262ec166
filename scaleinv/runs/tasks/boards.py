"""Small networks on the board in the plane: ordinary ones, and those of extrinsic layers (P A.2 and A.3)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from scaleinv.extrinsic import ExtrinsicLayer, board, points, project, stripes
from scaleinv.runs.config import Config
from scaleinv.runs.environment import describe
from scaleinv.runs.folder import RunFolder
from scaleinv.runs.tasks.base import Task

COLUMNS = (
    *("part", "network", "labels", "start", "seed", "parameters", "steps", "lr", "accuracy", "diverged"),
    *("layer", "point", "x", "y", "label"),
)
BATCH, HELD_OUT, SHOWN = 250, 2000, 400
LABELS: dict[str, Callable[[Tensor], Tensor]] = {"board": board, "stripes": stripes}


def ordinary(*widths: int) -> nn.Sequential:
    """Return a network of Linear layers with ReLUs, biases drawn as PyTorch does and weights as He et al. (2015) do."""
    parts: list[nn.Module] = []
    for into, out in zip((2, *widths), (*widths, 4), strict=True):
        linear = nn.Linear(into, out)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        parts += [linear, nn.ReLU()]
    return nn.Sequential(*parts[:-1])


def extrinsic(filters: int, homogeneous: bool, start: str) -> nn.Sequential:
    """Return three extrinsic layers and a linear classifier."""
    inputs = [2 + i * homogeneous for i in range(4)]
    return nn.Sequential(*(ExtrinsicLayer(n, filters, homogeneous, start) for n in inputs[:3]), nn.Linear(inputs[3], 4))


# Networks by name -> (their start, how they are made).
NETWORKS: dict[str, tuple[str, Callable[[], nn.Sequential]]] = {
    "2-2": ("He", lambda: ordinary(2, 2)),
    "50-50-50": ("He", lambda: ordinary(50, 50, 50)),
    "extrinsic": ("stable", lambda: extrinsic(600, False, "stable")),
    "extrinsic, homogeneous": ("stable", lambda: extrinsic(600, True, "stable")),
    "extrinsic, naive start": ("naive", lambda: extrinsic(600, False, "naive")),
}


@dataclass(frozen=True)
class Boards(Task):
    """Train every network by plain SGD on fresh points, in batches of 250, and score it on 2000 others.

    One row per network, labels and seed; and for the first seed of the ordinary networks on the board, where the
    extrinsic projection puts 400 points after every layer.

    Attributes:
        steps: number of steps.
        rate: learning rate.
    """

    reads: ClassVar[tuple[str, ...]] = ("seeds",)
    steps: int
    rate: float

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.steps < 1 or not self.rate > 0:
            raise ValueError(f"steps must be at least 1 and rate greater than 0, got {self.steps} and {self.rate}")

    def run(self, config: Config, folder: RunFolder) -> str:
        """Train and score; see :meth:`Task.run`."""
        rows: list[tuple[Any, ...]] = [COLUMNS]
        for name, (start, make) in NETWORKS.items():
            for labels, classes in LABELS.items():
                for seed in config.seeds:
                    with torch.random.fork_rng(devices=[]):
                        torch.random.default_generator.manual_seed(seed)
                        model = make()
                    accuracy, diverged = self._train(model, classes, seed)
                    count = sum(p.numel() for p in model.parameters())
                    place = (name, labels, start, seed, count, self.steps, self.rate)
                    rows.append(("accuracy", *place, accuracy, diverged, *[None] * 5))
                    if start == "He" and labels == "board" and seed == config.seeds[0] and not diverged:
                        rows += _projected(model, place)
        folder.metrics.unlink(missing_ok=True)
        folder.append(folder.metrics, rows)
        folder.finish((), **describe(torch.device("cpu")))
        return f"{len(NETWORKS) * len(LABELS) * len(config.seeds)} networks"

    def _train(self, model: nn.Module, classes: Callable[[Tensor], Tensor], seed: int) -> tuple[float, bool]:
        """Return the accuracy on held-out points, and whether the training diverged."""
        generator = torch.Generator().manual_seed(seed)
        optimizer = torch.optim.SGD(model.parameters(), self.rate)
        held_out = points(HELD_OUT, torch.Generator().manual_seed(2**32 + seed))
        with torch.enable_grad():
            for _ in range(self.steps):
                x = points(BATCH, generator)
                loss = cross_entropy(model(x), classes(x))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        with torch.no_grad():
            outputs = model(held_out)
        return float((outputs.argmax(1) == classes(held_out)).double().mean()), not bool(outputs.isfinite().all())


def _projected(model: nn.Sequential, place: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """Return where the points are after every layer; layer 0 is where they begin."""
    x = points(SHOWN, torch.Generator().manual_seed(0))
    rows = []
    for layer, placed in enumerate([x, *project(model, x)]):
        listed = zip(placed.tolist(), board(x).tolist(), strict=True)
        rows += [
            ("points", *place, None, None, layer, i, *position, label) for i, (position, label) in enumerate(listed)
        ]
    return rows
