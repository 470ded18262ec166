"""Train with ActCooLR, then again with the learning rates that it chose: for the same seed, and for another."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch

from scaleinv.runs.build import build_cell
from scaleinv.runs.config import Config
from scaleinv.runs.environment import describe
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.folder import RunFolder
from scaleinv.runs.tasks.base import Task
from scaleinv.schedules.actcoolr import ActCooLR
from scaleinv.schedules.replay import Replay as ReplaySchedule
from scaleinv.training.cell import LR, Cell
from scaleinv.training.stack import Stack

COLUMNS = ("dataset", "space", "optimizer", "arm", "seed", "epoch", "train_loss", "val_loss", "val_accuracy")
CLOSED, OWN, OTHER = "closed loop", "its own record", "another seed's record"


@dataclass(frozen=True)
class Replay(Task):
    """Is the feedback worth anything beyond the learning rates that it chose? Rows by arm, seed and epoch."""

    needs_labels: ClassVar[bool] = True

    def prepare(self, config: Config) -> None:
        """Check that there is a closed loop, and a second seed; see :meth:`Task.prepare`."""
        if not isinstance(config.schedule, ActCooLR) or len(config.axes[LR]) > 1 or len(config.axes) > 1:
            raise ConfigError("it replays one closed loop per seed", "schedule axes", "set schedule=actcoolr, no lists")
        if len(config.seeds) < 2:
            raise ConfigError("another seed's record needs another seed", "seeds", "set seeds=2")

    def run(self, config: Config, folder: RunFolder) -> str:
        """Train all arms; see :meth:`Task.run`."""
        cell = build_cell(config)
        head = tuple(config.labels[group] for group in ("dataset", "space", "optimizer"))
        rows: list[tuple[Any, ...]] = [COLUMNS]
        closed = Stack(cell, cell.members, config.capture)
        rows += [(*head, CLOSED, *row) for row in _train(closed)]
        factors = (closed.arrays()["actcoolr/lr"] / closed.lrs[:, None].cpu()).tolist()
        for arm, shift in ((OWN, 0), (OTHER, 1)):
            for i, seed in enumerate(cell.seeds):
                schedule = ReplaySchedule(factors=factors[(i + shift) % len(factors)])
                single = replace(cell, seeds=[seed], schedule=schedule)
                rows += [(*head, arm, *row) for row in _train(Stack(single, single.members, config.capture))]
        folder.metrics.unlink(missing_ok=True)
        folder.append(folder.metrics, rows)
        folder.finish((), **describe(cell.dataset.scale.device))
        return f"{3 * len(cell.seeds)} trainings"


def _train(stack: Stack) -> Iterator[tuple[Any, ...]]:
    """Yield seed, epoch, training loss, validation loss and accuracy."""
    cell: Cell = stack.cell
    for epoch in range(1, cell.epochs + 1):
        result = stack.result(stack.train_epoch(epoch))
        assert result.train_loss is not None
        assert result.val_accuracy is not None
        numbers = torch.stack([result.train_loss, result.val_loss, result.val_accuracy], 1).tolist()
        for member, row in zip(stack.members, numbers, strict=True):
            yield (member.seed, epoch, *row)
