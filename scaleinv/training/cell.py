"""Cells and their members, and how a cell is cut into stacks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from scaleinv.augmentations import Augmentation, NoAugmentation
from scaleinv.gauging import Gauge, NoGauge
from scaleinv.losses import CrossEntropy, Loss
from scaleinv.numbers import FloatNumber, Number
from scaleinv.optim.base import Optimizer
from scaleinv.penalties.base import Penalty
from scaleinv.probes.base import Probe, no_kept_weights
from scaleinv.schedules import Constant, Schedule
from scaleinv.spaces.base import ParameterSpace
from scaleinv.starts import DefaultStart
from scaleinv.starts.base import Start
from scaleinv.symmetry.network import Network
from scaleinv.training.data import Dataset

# The one axis that every cell has; it is an option of the step, not of the optimizer.
LR = "optimizer.lr"


@dataclass(frozen=True)
class Member:
    """One network of a cell.

    Attributes:
        index: position in the cell: seeds outermost, then the axes in their order.
        seed: seed of the initialisation and of the order of the batches.
        at: its value on every axis, ``{"optimizer.lr": 0.1}``.
    """

    index: int
    seed: int
    at: Mapping[str, float]


def list_members(seeds: Sequence[int], axes: Mapping[str, Sequence[float]]) -> list[Member]:
    """List the members of a grid: seeds outermost, then the axes in their order, the last one innermost."""
    grid = product(seeds, product(*axes.values()))
    return [Member(i, seed, dict(zip(axes, numbers, strict=True))) for i, (seed, numbers) in enumerate(grid)]


@dataclass(frozen=True)
class Cell:
    """One network on one data set in one space with one optimizer, for a grid of option values and seeds.

    Attributes:
        network: description of the network.
        dataset: the data set, on the device to train on.
        space: parameter space; :meth:`at` puts the members' values into options that are axes, here and in the
            optimizer, the schedule, the start, the loss and the penalties.
        optimizer: optimizer, without its learning rate.
        axes: values of every axis, by ``field.option`` of this class: ``{"space.value": (0.5, 1.0)}``, or
            ``penalties.name.option``. The options are annotated :data:`scaleinv.symmetry.members.PerMember`. One of
            them is ``optimizer.lr``.
        seeds: one replicate per seed.
        batch_size: images per step; the last batch of an epoch has the rest.
        start: how the drawn weights are changed before training.
        probes: further measurements during training.
        loss: loss to minimise.
        penalties: terms added to the loss, by name; each is recorded as ``<name>_penalty``.
        schedule: schedule of the learning rates.
        epochs: number of epochs of the whole run, which schedules depend on.
        kept: see :class:`scaleinv.probes.base.Scene`.
        number: format that the network reads its weights in.
        augment: changes of the training images, drawn anew for every epoch.
        gauge: choice of other weights of the same function, between the steps.
        accumulate: number of parts that a batch is cut into for its gradient.
    """

    network: Network
    dataset: Dataset
    space: ParameterSpace
    optimizer: Optimizer
    axes: Mapping[str, Sequence[float]]
    seeds: Sequence[int]
    batch_size: int = 64
    start: Start = field(default_factory=DefaultStart)
    probes: Sequence[Probe] = ()
    loss: Loss = field(default_factory=CrossEntropy)
    penalties: Mapping[str, Penalty] = field(default_factory=dict)
    schedule: Schedule = field(default_factory=Constant)
    epochs: int = 0
    kept: Callable[[str, Member], dict[str, Tensor]] = no_kept_weights
    number: Number = field(default_factory=FloatNumber)
    augment: Augmentation = field(default_factory=NoAugmentation)
    gauge: Gauge = field(default_factory=NoGauge)
    accumulate: int = 1

    @property
    def members(self) -> list[Member]:
        """All members, seeds outermost, then the axes in their order."""
        return list_members(self.seeds, self.axes)

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches in an epoch."""
        return -(-len(self.dataset.train) // self.batch_size)

    def at(self, members: Sequence[Member], device: torch.device | None = None) -> "Cell":
        """Return the cell with the members' values in place of every option that is an axis.

        An axis with a single value becomes that number; every other becomes a float64 tensor ``(members,)``.
        """
        options: dict[str, dict[str, Any]] = {}
        for key, grid in self.axes.items():
            if key != LR:
                own = torch.tensor([member.at[key] for member in members], dtype=torch.float64, device=device)
                owner, _, option = key.rpartition(".")
                options.setdefault(owner, {})[option] = own if len(grid) > 1 else grid[0]
        penalties = {
            name: replace(penalty, **options.pop(f"penalties.{name}", {})) for name, penalty in self.penalties.items()
        }
        parts: dict[str, Any] = {group: replace(getattr(self, group), **own) for group, own in options.items()}
        return replace(self, penalties=penalties, **parts)


def next_stack(cell: Cell, done: int, chunk: int) -> list[Member]:
    """Return the next members to train together, at most ``chunk``: all of several seeds, or some of one seed.

    So every seed of a stack has equally many members, which lets them share batches.

    Args:
        cell: the grid.
        done: number of its members, in order, that are trained already.
        chunk: largest number of members in a stack.
    """
    members = cell.members
    variants = len(members) // len(cell.seeds)
    left = variants - done % variants
    if left == variants and chunk >= variants:
        unit, total = variants, (len(members) - done) // variants
    else:
        unit, total = 1, left
    # As even as possible: 260 members in chunks of 64 are five stacks of 52, not four of 64 and one of 4.
    stacks = -(-total // (chunk // unit))
    return members[done : done + unit * -(-total // stacks)]
