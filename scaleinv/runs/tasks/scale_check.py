"""Train from W and from a rescaled W, with every space and optimizer, and record both losses."""

from dataclasses import dataclass
from typing import Any, ClassVar

from scaleinv.checks import ORIGINAL, RESCALED, report, scale_check
from scaleinv.optim.base import Optimizer
from scaleinv.runs.build import build_dataset, build_network
from scaleinv.runs.config import Config, Grids, parse_optimizer, parse_space
from scaleinv.runs.environment import describe
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.folder import RunFolder
from scaleinv.runs.tasks.base import Task
from scaleinv.spaces.base import ParameterSpace

COLUMNS = ("dataset", "network", "space", "optimizer", "lr", "mode", "start", "step", "loss", "difference")


@dataclass(frozen=True)
class ScaleCheck(Task):
    """See :func:`scaleinv.checks.scale_check`.

    Attributes:
        spaces: keys of each space, by label.
        optimizers: keys of each optimizer, its learning rate included, by label.
        steps: number of training steps.
        sigma: standard deviation of log lambda of the random rescaling.
    """

    reads: ClassVar[tuple[str, ...]] = ("dataset", "network", "loss", "seeds", "batch_size", "dtype")
    spaces: dict[str, Any]
    optimizers: dict[str, Any]
    steps: int
    sigma: float

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.steps < 1 or not self.sigma >= 0:
            raise ValueError(f"steps must be at least 1 and sigma at least 0, got {self.steps} and {self.sigma}")

    def prepare(self, config: Config) -> None:
        """Check that every space takes the network; see :meth:`Task.prepare`."""
        if config.penalties:
            raise ConfigError("scale_check compares training without penalties", "penalties", "set penalties=[]")
        graph = build_network(config, build_dataset(config)).graph
        for label, keys in self.spaces.items():
            support = self._space(label, keys).supports(graph)
            if not support:
                raise ConfigError("; ".join(support.reasons), f"task.spaces.{label}")
        for label, keys in self.optimizers.items():
            self._optimizer(label, keys)

    def _space(self, label: str, keys: Any) -> ParameterSpace:
        space, grids = parse_space(keys, f"task.spaces.{label}")
        _refuse_lists(grids)
        return space

    def _optimizer(self, label: str, keys: Any) -> tuple[Optimizer, float]:
        optimizer, grids = parse_optimizer(keys, f"task.optimizers.{label}")
        _refuse_lists(grids)
        return optimizer, grids[f"task.optimizers.{label}.lr"][0]

    def run(self, config: Config, folder: RunFolder) -> str:
        """Compare every space and optimizer; see :meth:`Task.run`."""
        dataset = build_dataset(config)
        network = build_network(config, dataset)
        comparisons = scale_check(
            network,
            dataset.normalise(dataset.val.images),
            dataset.val.labels,
            {label: self._space(label, keys) for label, keys in self.spaces.items()},
            {label: self._optimizer(label, keys) for label, keys in self.optimizers.items()},
            self.steps,
            config.batch_size,
            self.sigma,
            config.seeds[0],
            config.loss,
        )
        rows: list[tuple[Any, ...]] = [COLUMNS]
        labels = (config.labels["dataset"], config.labels["network"])
        for c in comparisons:
            for start, losses in ((ORIGINAL, c.original), (RESCALED, c.rescaled)):
                for step, loss in enumerate(losses.tolist()):
                    rows.append((*labels, c.space, c.optimizer, c.lr, c.mode, start, step, loss, c.difference))
        folder.metrics.unlink(missing_ok=True)
        folder.append(folder.metrics, rows)
        folder.finish((), **describe(dataset.scale.device))
        invariant = sum(c.is_invariant for c in comparisons)
        print(report(comparisons))
        return f"{invariant} of {len(comparisons)} comparisons invariant"


def _refuse_lists(grids: Grids) -> None:
    for key, grid in grids.items():
        if len(grid) > 1:
            raise ConfigError("scale_check trains no grid", key, "give one number, and another label for each other")
