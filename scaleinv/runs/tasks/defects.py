"""Measure the invariance defect and the cost of every optimizer in every space and gauge."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from scaleinv.defects import Method, Setting, measure_cost, measure_defects, methods
from scaleinv.numbers import FloatNumber
from scaleinv.runs.build import build_dataset, build_network
from scaleinv.runs.config import Config, Grids, parse_group, parse_optimizer, parse_space
from scaleinv.runs.environment import describe
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.folder import RunFolder
from scaleinv.runs.tasks.base import Task
from scaleinv.training.regauge import check_gauge

LABELS = ("dataset", "network", "space", "optimizer", "gauge", "lr")
COLUMNS = (*LABELS, "seed", "mode", "scales", "defect", "cost")


@dataclass(frozen=True)
class Defects(Task):
    """See :mod:`scaleinv.defects`.

    Attributes:
        spaces: keys of each space, by label; weight space first.
        optimizers: keys of each optimizer, its learning rate included, by label.
        gauges: keys of each start, by label; the first is used in every space, all of them in the first space.
        during: keys of each gauge that is taken between steps, in the first space from the first start; by label.
        steps: number of training steps.
        sigma: standard deviation of log lambda of the random rescaling.
        repeats: number of steps to time.
    """

    reads: ClassVar[tuple[str, ...]] = ("dataset", "network", "loss", "seeds", "batch_size")
    spaces: dict[str, Any]
    optimizers: dict[str, Any]
    gauges: dict[str, Any]
    during: dict[str, Any]
    steps: int
    sigma: float
    repeats: int

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.steps < 1 or self.repeats < 1 or not self.sigma >= 0:
            raise ValueError(
                f"steps and repeats must be at least 1 and sigma at least 0, got {self.steps}, {self.repeats} and"
                f" {self.sigma}"
            )
        if not (self.spaces and self.optimizers and self.gauges):
            raise ValueError("defects needs a space, an optimizer and a gauge")
        if twice := self.gauges.keys() & self.during.keys():
            raise ValueError(f"gauges and during must have different labels, both have {min(twice)!r}")

    def prepare(self, config: Config) -> None:
        """Check that every method takes the network; see :meth:`Task.prepare`."""
        if config.penalties:
            raise ConfigError("defects are those of training without penalties", "penalties", "set penalties=[]")
        network = build_network(config, build_dataset(config))
        for (space, optimizer, gauge), method in self._methods().items():
            if not (support := method.space.supports(network.graph)):
                raise ConfigError("; ".join(support.reasons), f"task.spaces.{space}")
            try:
                method.optimizer.check(network)
            except ValueError as error:
                raise ConfigError(str(error), f"task.optimizers.{optimizer}") from error
            rule = method.optimizer.transformation()
            try:
                check_gauge(method.during, method.space, FloatNumber(), network.graph, rule, optimizer)
            except ValueError as error:
                raise ConfigError(str(error), f"task.during.{gauge}") from error

    def cost(self, config: Config) -> float:
        """Multiply methods and steps; see :meth:`Task.cost`."""
        return float(len(self._methods()) * self.steps)

    def run(self, config: Config, folder: RunFolder) -> str:
        """Measure every method; see :meth:`Task.run`."""
        dataset = build_dataset(config)
        split = dataset.val
        images = dataset.normalise(split.images).flatten(1).double().cpu()
        network = build_network(config, dataset)
        shared = (images, split.labels.cpu(), config.seeds, self.steps, config.batch_size, self.sigma, config.loss)
        setting = Setting(network, *shared)
        rows: list[tuple[Any, ...]] = [COLUMNS]
        exact = 0
        for (space, optimizer, gauge), method in self._methods().items():
            seconds = measure_cost(method, setting, self.repeats)
            head = (config.labels["dataset"], config.labels["network"], space, optimizer, gauge, method.lr)
            for (mode, scales), defects in measure_defects(method, setting).items():
                exact += not defects.any()
                pairs = zip(config.seeds, defects.tolist(), strict=True)
                rows += [(*head, seed, mode, scales, defect, seconds) for seed, defect in pairs]
        folder.metrics.unlink(missing_ok=True)
        folder.append(folder.metrics, rows)
        folder.finish((), **describe(torch.device("cpu")))
        return f"{len(self._methods())} methods; {exact} comparisons without a bit of difference"

    def _methods(self) -> dict[tuple[str, str, str], Method]:
        spaces, optimizers, gauges, during = {}, {}, {}, {}
        for label, keys in self.spaces.items():
            spaces[label], grids = parse_space(keys, f"task.spaces.{label}")
            _refuse_lists(grids)
        for label, keys in self.optimizers.items():
            optimizer, grids = parse_optimizer(keys, f"task.optimizers.{label}")
            _refuse_lists(grids)
            optimizers[label] = (optimizer, grids[f"task.optimizers.{label}.lr"][0])
        for label, keys in self.gauges.items():
            gauges[label], grids = parse_group(keys, "start", f"task.gauges.{label}")
            _refuse_lists(grids)
        for label, keys in self.during.items():
            during[label], grids = parse_group(keys, "gauge", f"task.during.{label}")
            _refuse_lists(grids)
        return methods(spaces, optimizers, gauges, during)


def _refuse_lists(grids: Grids) -> None:
    for key, grid in grids.items():
        if len(grid) > 1:
            raise ConfigError("defects measures no grid", key, "give one number, and another label for each other")
