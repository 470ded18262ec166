"""Cells and their members, and how a cell is cut into stacks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

from scaleinv.losses import CrossEntropy, Loss
from scaleinv.optim.base import Optimizer
from scaleinv.probes.base import Probe
from scaleinv.schedules import Constant, Schedule
from scaleinv.spaces.base import ParameterSpace
from scaleinv.starts import DefaultStart
from scaleinv.starts.base import Start
from scaleinv.symmetry.network import Network
from scaleinv.training.data import Dataset


@dataclass(frozen=True)
class Member:
    """One network of a cell.

    Attributes:
        index: position in the cell: seeds outermost, then values, then learning rates.
        lr: learning rate.
        seed: of the initialisation and of the order of the batches.
        value: of the fixed weights, or None if nothing is overwritten.
    """

    index: int
    lr: float
    seed: int
    value: float | None


@dataclass(frozen=True)
class Cell:
    """One network on one data set in one space with one optimizer, at a grid of learning rates, seeds and values.

    Attributes:
        network: the description.
        dataset: on the device to train on.
        space: without its value.
        optimizer: without its learning rate.
        lrs: the learning-rate grid.
        seeds: one replicate each.
        values: of the fixed weights; ``(None,)`` if nothing is overwritten.
        batch_size: images a step; the last batch of an epoch has the rest.
        start: what happens to the drawn weights first.
        probes: what else is measured.
        loss: what is minimised.
        schedule: of the learning rates.
        epochs: of the whole run, which schedules look ahead to.
    """

    network: Network
    dataset: Dataset
    space: ParameterSpace
    optimizer: Optimizer
    lrs: Sequence[float]
    seeds: Sequence[int]
    values: Sequence[float | None] = (None,)
    batch_size: int = 64
    start: Start = field(default_factory=DefaultStart)
    probes: Sequence[Probe] = ()
    loss: Loss = field(default_factory=CrossEntropy)
    schedule: Schedule = field(default_factory=Constant)
    epochs: int = 0

    @property
    def members(self) -> list[Member]:
        """All members, seeds outermost, then values, then learning rates."""
        grid = product(self.seeds, self.values, self.lrs)
        return [Member(i, lr, seed, value) for i, (seed, value, lr) in enumerate(grid)]

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches in an epoch."""
        return -(-len(self.dataset.train) // self.batch_size)


def next_stack(cell: Cell, done: int, chunk: int) -> list[Member]:
    """Return the next members to train together, at most ``chunk``: all of several seeds, or a part of one seed's.

    So the members of a stack always divide evenly over its seeds, which is what lets them share batches.

    Args:
        cell: the grid.
        done: how many of its members, in order, are trained.
        chunk: size limit.
    """
    members = cell.members
    variants = len(members) // len(cell.seeds)
    left = variants - done % variants
    if left == variants and chunk >= variants:
        unit, total = variants, (len(members) - done) // variants
    else:
        unit, total = 1, left
    # As even as can be: 260 members in chunks of 64 are five stacks of 52, not four of 64 and one of 4.
    stacks = -(-total // (chunk // unit))
    return members[done : done + unit * -(-total // stacks)]
