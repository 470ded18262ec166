"""Accuracy of trained networks whose weights are read by coin tosses."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from scaleinv.binarization import Binarized, attend, binarize, prune, quiet_gauge
from scaleinv.gauges import balance, equalize, fold_batch_norm
from scaleinv.runs.build import build_cell, build_dataset, build_network
from scaleinv.runs.config import Config
from scaleinv.runs.environment import describe
from scaleinv.runs.folder import RunFolder
from scaleinv.runs.run import run
from scaleinv.runs.tasks._parts import part_of
from scaleinv.runs.tasks.base import Task
from scaleinv.runs.weights import load_model
from scaleinv.symmetry.network import Network
from scaleinv.symmetry.trace import describe as of_model

COLUMNS = (
    *("dataset", "network", "trained", "part", "gauge", "folded", "samples", "first", "bits", "pruned", "mode"),
    *("draw", "seed", "accuracy", "coverage", "share"),
)
SAMPLES, BITS, PRUNING, ATTENTION = "samples", "bits", "pruning", "attention"
# Gauges of the folded network, all of the same function.
GAUGES: dict[str, Callable[[nn.Module, Network, Tensor], nn.Module]] = {
    "trained": lambda model, network, images: model,
    "balanced": lambda model, network, images: balance(model, network, dead="keep"),
    "equalized": lambda model, network, images: equalize(model, network, dead="keep"),
    "quiet": lambda model, network, images: quiet_gauge(model, images[:200], network=network).model,
}
MODES = ("entropy", "margin", "random")


@dataclass(frozen=True)
class Binarization(Task):
    """Train networks, or take those that are trained, and score them with several draws of their weights.

    The first method's networks are binarized in place, in every gauge, with few bits, pruned, and with attention; the
    others are scored over the samples alone. Zero samples are floats. One row per draw.

    Attributes:
        methods: each with a ``label`` and keys that replace this run's own: ``number``, ``epochs``, and any other.
        samples: numbers of coin tosses per weight.
        draws: number of draws of the weights.
        gauges: which of ``trained``, ``balanced``, ``equalized`` and ``quiet`` to bring the first networks to.
        unfolded: whether networks with batch norm are scored unfolded too.
        at: number of samples for ``bits`` and ``pruned``.
        bits: numbers of bits of the probabilities, 0 for all.
        pruned: shares of the weights to prune.
        attention: pairs of samples: of the first pass, and of the second one.
        images: number of validation images, the first ones.
    """

    needs_labels: ClassVar[bool] = True
    is_tracked: ClassVar[bool] = True
    methods: list[dict[str, Any]]
    samples: list[int]
    draws: int
    gauges: list[str]
    unfolded: bool
    at: int
    bits: list[int]
    pruned: list[float]
    attention: list[list[int]]
    images: int

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not self.methods or any("label" not in method for method in self.methods):
            raise ValueError("methods must give at least one way to train, each with its label")
        for n in (*self.samples, self.at, *(n for pair in self.attention for n in pair)):
            if n < 1:
                raise ValueError(f"samples must be at least 1, got {n}")
        for key, number in (("draws", self.draws), ("images", self.images)):
            if number < 1:
                raise ValueError(f"{key} must be at least 1, got {number}")
        if unknown := [gauge for gauge in self.gauges if gauge not in GAUGES]:
            raise ValueError(f"gauges must be some of {', '.join(GAUGES)}, got {unknown[0]}")
        if any(bits < 0 for bits in self.bits):
            raise ValueError(f"bits must be at least 0, got {min(self.bits)}")
        if any(not 0 <= share <= 1 for share in self.pruned):
            raise ValueError(f"pruned must be between 0 and 1, got {self.pruned}")
        if any(len(pair) != 2 for pair in self.attention):
            raise ValueError(f"attention must be pairs of numbers of samples, got {self.attention}")

    def prepare(self, config: Config) -> None:
        """Check every method; see :meth:`Task.prepare`."""
        build_dataset(config)
        for method in self.methods:
            build_cell(part_of(config, method, list(config.seeds)))

    def cost(self, config: Config) -> float:
        """Add up the runs'; see :meth:`Task.cost`."""
        parts = [part_of(config, method, list(config.seeds)) for method in self.methods]
        return sum(part.task.cost(part) for part in parts)

    def run(self, config: Config, folder: RunFolder) -> str:
        """Train what is missing, and score; see :meth:`Task.run`."""
        dataset = build_dataset(config)
        network = build_network(config, dataset)
        images = dataset.normalise(dataset.val.images[: self.images]).unflatten(-1, network.inputs)
        labels = dataset.val.labels[: self.images]
        rows: list[tuple[Any, ...]] = [COLUMNS]
        names = (config.labels["dataset"], config.labels["network"])
        traced: dict[bool, Binarized] = {}
        for method in self.methods:
            part = part_of(config, method, list(config.seeds))
            run(part)
            for seed in config.seeds:
                model = load_model(part.folder, {"seed": seed}).to(dataset.scale)
                scores = _Scores(self, model, images, labels, seed, traced)
                in_place = method is self.methods[0]
                found = scores.in_place() if in_place else scores.over_samples("trained", model, False)
                rows += [(*names, method["label"], *row) for row in found]
        folder.metrics.unlink(missing_ok=True)
        folder.append(folder.metrics, rows)
        folder.finish((), **describe(dataset.scale.device))
        return f"{len(rows) - 1} draws of {len(self.methods)} methods"


class _Scores:
    """Scores of one trained network; rows from the column ``part`` on.

    All networks of a task have the same operations: ``traced`` holds them, folded and not.
    """

    def __init__(
        self,
        task: Binarization,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        seed: int,
        traced: dict[bool, Binarized],
    ) -> None:
        self.task, self.model, self.images, self.labels, self.seed = task, model, images, labels, seed
        self.traced = traced

    def in_place(self) -> Iterator[tuple[Any, ...]]:
        folded = fold_batch_norm(self.model, self.images[:2])
        network = of_model(folded, self.images[:2])
        for gauge in self.task.gauges:
            yield from self.over_samples(gauge, GAUGES[gauge](folded, network, self.images), True)
        if self.task.unfolded:
            yield from self.over_samples("trained", self.model, False)
        tossed = self._tossed(folded)
        for bits in self.task.bits:
            tossed.bits = bits
            yield from self._draws(tossed, BITS, bits=bits)
        for share in self.task.pruned:
            yield from self._draws(self._tossed(prune(folded, share)), PRUNING, pruned=share)
        for first, second in self.task.attention:
            yield from self._attended(folded, first, second)

    def over_samples(self, gauge: str, model: nn.Module, folded: bool) -> Iterator[tuple[Any, ...]]:
        """Score a model as it is, and with every number of samples."""
        with torch.no_grad():
            yield self._row(SAMPLES, model(self.images), gauge=gauge, folded=folded)
        tossed = self._tossed(model, folded)
        for n in self.task.samples:
            tossed.samples = n
            yield from self._draws(tossed, SAMPLES, gauge=gauge, folded=folded)

    def _tossed(self, model: nn.Module, folded: bool = True) -> Binarized:
        if folded not in self.traced:
            self.traced[folded] = binarize(model, self.images[:2], self.task.at, fold=folded)
        return self.traced[folded].of(model, self.seed)

    def _draws(self, tossed: Binarized, part: str, **where: Any) -> Iterator[tuple[Any, ...]]:
        for draw in range(self.task.draws):
            yield self._row(part, tossed(self.images), samples=tossed.samples, draw=draw, **where)

    def _attended(self, model: nn.Module, first: int, second: int) -> Iterator[tuple[Any, ...]]:
        """Score every mode, random positions at the coverage that entropy had."""
        low, high = self._tossed(model), self._tossed(model)
        low.samples, high.samples = first, second
        for draw in range(self.task.draws):
            coverage: float | None = None
            for mode in MODES:
                found = attend(low, high, self.images, mode, coverage if mode == "random" else None, draw)
                coverage = found.coverage if mode == "entropy" else coverage
                where: dict[str, Any] = {"mode": mode, "coverage": found.coverage, "share": found.share}
                yield self._row(ATTENTION, found.outputs, samples=second, first=first, draw=draw, **where)

    def _row(
        self,
        part: str,
        outputs: Tensor,
        gauge: str = "trained",
        folded: bool = True,
        samples: int = 0,
        first: int | None = None,
        bits: int = 0,
        pruned: float = 0.0,
        mode: str | None = None,
        draw: int = 0,
        coverage: float | None = None,
        share: float | None = None,
    ) -> tuple[Any, ...]:
        accuracy = float((outputs.argmax(1) == self.labels).double().mean())
        place = (part, gauge, folded, samples, first, bits, pruned, mode, draw, self.seed)
        return (*place, accuracy, coverage, share)
