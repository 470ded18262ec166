"""Which learning rates would change how many patterns during training, and which model describes it (P 3.2.3)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scaleinv.patterns.transitions import MODELS
from scaleinv.probes.sensitivity import Sensitivity
from scaleinv.runs.build import build_cell
from scaleinv.runs.config import Config
from scaleinv.runs.environment import describe
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.folder import RunFolder
from scaleinv.runs.tasks.base import Task
from scaleinv.training.stack import Stack

COLUMNS = ("kind", "model", "seed", "step", "layer", "lr", "value", "low", "high")
MEAN = "mean"


@dataclass(frozen=True)
class Transition(Task):
    """Rows of ``metrics.csv``, by kind.

    ``share``: D at a learning rate, of a layer or of the mean of all; ``used``: the learning rate that training used;
    ``rmse``: of a model's fit to one layer, or to the mean; ``mu`` and ``sigma``: of the model ``log`` for the mean,
    with 95 % intervals over images.

    Attributes:
        every: number of steps between two looks; 0 looks at the first step of every epoch.
        points: number of learning rates from 1e-4 to 1e2.
        resamples: resamples of the images for the intervals.
    """

    every: int
    points: int
    resamples: int

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.resamples < 1:
            raise ValueError(f"resamples must be at least 1, got {self.resamples}")
        Sensitivity(every=self.every, points=self.points)

    def prepare(self, config: Config) -> None:
        """Refuse a grid; see :meth:`Task.prepare`."""
        if any(len(grid) > 1 for grid in config.axes.values()):
            raise ConfigError("it watches one network per seed", "axes", "give one number for every option")

    def run(self, config: Config, folder: RunFolder) -> str:
        """Train and fit; see :meth:`Task.run`."""
        probe = Sensitivity(every=self.every, points=self.points, images=config.batch_size)
        cell = replace(build_cell(config), probes=[probe])
        stack = Stack(cell, cell.members, config.capture)
        for epoch in range(1, cell.epochs + 1):
            stack.train_epoch(epoch)
        maps = {name.partition("sensitivity/")[2]: t.cpu().numpy() for name, t in stack.arrays().items()}
        rows: list[tuple[Any, ...]] = [COLUMNS]
        for i, member in enumerate(stack.members):
            for look, step in enumerate(maps["steps"][i].tolist()):
                rows.append(("used", "", member.seed, step, "", "", maps["lr"][i, look], "", ""))
                own = (maps["lrs"][i], maps["distance"][i, look], maps["by_image"][i, look])
                rows += [(kind, model, member.seed, step, *rest) for kind, model, *rest in self._look(*own)]
        folder.metrics.unlink(missing_ok=True)
        folder.append(folder.metrics, rows)
        folder.finish((), **describe(cell.dataset.scale.device))
        return f"{len(rows) - 1} rows"

    def _look(self, lrs: np.ndarray, shares: np.ndarray, by_image: np.ndarray) -> Iterator[tuple[Any, ...]]:
        """Describe one look; shares ``(lrs, layers)``, by image ``(lrs, images)``."""
        curves = {MEAN: shares.mean(1)} | {str(layer + 1): shares[:, layer] for layer in range(shares.shape[1])}
        for layer, curve in curves.items():
            for lr, share in zip(lrs.tolist(), curve.tolist(), strict=True):
                yield ("share", "", layer, lr, share, "", "")
            for name, model in MODELS.items():
                yield ("rmse", name, layer, "", model.fit(lrs, curve).rmse, "", "")
        fit = MODELS["log"].fit(lrs, curves[MEAN])
        known = by_image[:, ~np.isnan(by_image).any(0)]
        for name, (low, high) in MODELS["log"].bootstrap(lrs, known, self.resamples).items():
            yield (name, "log", MEAN, "", fit.parameters[name], low, high)
