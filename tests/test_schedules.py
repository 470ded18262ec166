"""Promise: every schedule is its namesake of torch.optim, and part of a step; the base rate stays in the records."""

from typing import get_type_hints

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from scaleinv.networks.mlp import mlp
from scaleinv.optim import SGD
from scaleinv.runs.config import compose
from scaleinv.runs.datasets import load_dataset
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.records import load_records
from scaleinv.runs.registry import find, names
from scaleinv.runs.run import run
from scaleinv.schedules import Constant, Progress, Schedule
from scaleinv.spaces import WeightSpace
from scaleinv.symmetry.members import PerMember, WholePerMember
from scaleinv.training.cell import LR, Cell
from scaleinv.training.stack import Stack

PER_EPOCH, EPOCHS = 7, 9
STEPS = PER_EPOCH * EPOCHS
PER_STEP = {
    "warmup": ({"steps": 20, "start": 0.1}, lambda o: lr_scheduler.LinearLR(o, 0.1, 1.0, 20)),
    "cosine": ({"end": 0.1}, lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS, 0.1)),
    "cosine_restarts": (
        {"epochs": 2, "growth": 2, "end": 0.1},
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 2 * PER_EPOCH, 2, 0.1),
    ),
    "triangular": (
        {"epochs": 3, "end": 0.1},
        lambda o: lr_scheduler.CyclicLR(o, 1.0, 0.1, step_size_up=3 * PER_EPOCH / 2, cycle_momentum=False),
    ),
    "cyclic": (
        {"epochs": 2, "low": 0.1},
        lambda o: lr_scheduler.CyclicLR(
            o, 0.1, 1.0, step_size_up=2 * PER_EPOCH, mode="triangular2", cycle_momentum=False
        ),
    ),
    "replay": (
        {"factors": [1.0 / (step + 1) for step in range(STEPS)]},
        lambda o: lr_scheduler.LambdaLR(o, lambda step: 1.0 / (step + 1)),
    ),
    "one_cycle": (
        {},
        lambda o: lr_scheduler.OneCycleLR(o, 1.0, STEPS, div_factor=25, final_div_factor=1e4, cycle_momentum=False),
    ),
}
AFTER_EPOCH = {
    "constant": ({}, lambda o: lr_scheduler.ConstantLR(o, 1.0)),
    "step": ({"every": 2, "gamma": 0.3}, lambda o: lr_scheduler.StepLR(o, 2, 0.3)),
    "exponential": ({"rate": 0.2}, lambda o: lr_scheduler.ExponentialLR(o, 0.8187307530779818)),
}
CASES = PER_STEP | AFTER_EPOCH


def make(name, options):
    return find("scaleinv.schedules", name, Schedule)(**options)


# What chooses while training goes on is no function of the step; tests/test_actcoolr.py.
CLOSED = {"actcoolr"}


@pytest.mark.parametrize("name", sorted({*names("scaleinv.schedules")} - CLOSED))
@pytest.mark.parametrize("growth", [1, 2])
def test_equals_torch(name, growth):
    options, theirs = CASES[name]
    if name == "cosine_restarts":
        options = options | {"growth": growth}
        theirs = lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 2 * PER_EPOCH, growth, 0.1)  # noqa: E731
    schedule = make(name, options)
    schedule.check(PER_EPOCH, EPOCHS)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = theirs(optimizer)
    for step in range(STEPS):
        factor = schedule.factor(Progress(torch.tensor(float(step), dtype=torch.float64), PER_EPOCH, EPOCHS))
        found = 1.0 if factor is None else factor.item()
        assert found == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9, abs=1e-12)
        optimizer.step()
        if name in PER_STEP or (step + 1) % PER_EPOCH == 0:
            scheduler.step()


def test_a_scheduled_stack_is_torch_with_a_scheduler():
    """From the second epoch on too, as after a resume."""
    data = load_dataset("digits").to("cpu", torch.float64)
    network, lrs = mlp((64, 5, 10)), [0.1, 0.01]
    cell = Cell(network, data, WeightSpace(), SGD(), {LR: lrs}, [0], batch_size=100, epochs=3)
    cells = {name: Cell(**{**vars(cell), "schedule": make(*given)}) for name, given in {
        "none": ("constant", {}), "cosine": ("cosine", {})}.items()}  # fmt: skip
    stacks = {name: Stack(c, c.members) for name, c in cells.items()}
    resumed = Stack(cells["cosine"], cell.members)
    for epoch in (1, 2):
        for stack in stacks.values():
            stack.train_epoch(epoch)
        if epoch == 1:
            resumed.load({name: t.clone() for name, t in stacks["cosine"].tensors().items()})
    resumed.train_epoch(2)
    for name, w in stacks["cosine"].weights.items():
        assert torch.equal(resumed.weights[name], w)
        assert not torch.allclose(stacks["none"].weights[name], w)
    # By hand: one step, at a factor that is known.
    stack = Stack(cells["cosine"], cell.members)
    stack._progress.step.fill_(cell.steps_per_epoch * 1.5)  # half of the run
    before = {name: w.clone() for name, w in stack.weights.items()}
    images = data.normalise(data.train.images[:100])[None]
    targets = cell.loss.targets(data.train.labels[None, :100], 10, torch.float64)
    stack.step(images, targets)
    plain = Stack(cells["none"], cell.members)
    plain.step(images, targets)
    for name, w in stack.weights.items():
        torch.testing.assert_close(w - before[name], 0.5 * (plain.weights[name] - before[name]), rtol=1e-9, atol=1e-15)


PER_MEMBER = {
    "warmup": {"steps": [20, 3, 20], "start": [0.1, 0.1, 0.5]},
    "cosine": {"end": [0.0, 0.1, 1.0]},
    "cosine_restarts": {"epochs": [1, 2, 9], "end": [0.1, 0.0, 0.2]},
    "cyclic": {"epochs": [1, 3, 4], "low": [0.0, 0.1, 1.0]},
    "exponential": {"rate": [0.1, 2.0, 1e-9]},
    "one_cycle": {"rise": [0.1, 0.3, 0.9], "first": [0.0, 0.5, 0.1], "last": [0.1, 0.0, 1.0]},
    "step": {"every": [1, 3, 8], "gamma": [0.1, 0.5, 2.0]},
    "triangular": {"epochs": [2, 3, 5], "after": [0, 4, 1], "end": [0.5, 0.0, 0.1]},
}


def test_the_table_of_options_per_member_is_whole():
    """All options that are numbers, except the growth of restarts, from which the number of waves follows."""
    for name in {*names("scaleinv.schedules")} - CLOSED:
        hints = get_type_hints(find("scaleinv.schedules", name, Schedule))
        lists = {option for option, hint in hints.items() if hint in (PerMember, WholePerMember)}
        assert lists == set(PER_MEMBER.get(name, {}))
        numbers = {option for option, hint in hints.items() if hint in (int, float)}
        assert numbers <= {"growth"}, name


@pytest.mark.parametrize("name", PER_MEMBER)
def test_options_per_member_are_each_member_alone(name):
    options = PER_MEMBER[name]
    stacked = make(name, {option: torch.tensor(values, dtype=torch.float64) for option, values in options.items()})
    for step in range(STEPS):
        progress = Progress(torch.tensor(float(step), dtype=torch.float64), PER_EPOCH, EPOCHS)
        alone = [make(name, {o: values[i] for o, values in options.items()}).factor(progress) for i in range(3)]
        torch.testing.assert_close(stacked.factor(progress), torch.stack(alone), rtol=1e-12, atol=1e-15)


BASE = ["network.hidden=[6,6]", "epochs=2", "batch_size=500", "progress=false", "threads=1", "optimizer.lr=[0.1,0.2]"]


def test_the_base_rate_is_recorded(tmp_path):
    config = compose([*BASE, "schedule=exponential", f"results={tmp_path}"])
    run(config)
    assert set(load_records(config.folder)["lr"]) == {0.1, 0.2}


def test_lists_are_axes_of_the_records(tmp_path):
    """A stack with lists trains as each of its members alone; whole numbers stay whole in the records."""
    lists = ["schedule=step", "schedule.every=[1,2]", "schedule.gamma=[0.5,0.1]", "loss=label_smoothing"]
    config = compose([*BASE, *lists, "loss.smoothing=[0,0.3]", "epochs=3", f"results={tmp_path / 'all'}"])
    assert config.resolved["schedule"] == {"name": "step", "every": [1, 2], "gamma": [0.5, 0.1]}
    run(config)
    whole, axes = load_records(config.folder), ["schedule.every", "schedule.gamma", "loss.smoothing"]
    assert len(whole) == 2**4 * 4
    assert (whole[whole["epoch"] == 3].groupby("lr")["val_loss"].nunique() == 8).all()
    for numbers in ((1, 0.5, 0.3), (2, 0.1, 0.0)):
        given = [f"{axis}={number}" for axis, number in zip(axes, numbers, strict=True)]
        one = compose([*BASE, "schedule=step", "loss=label_smoothing", *given, "epochs=3", f"results={tmp_path}"])
        run(one)
        own = whole[(whole[axes] == list(numbers)).all(axis=1)]
        alone = load_records(one.folder)
        for column in ("train_loss", "val_loss"):
            np.testing.assert_allclose(own[column], alone[column], rtol=1e-4)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["schedule=warmup", "schedule.steps=1000"], "1000 steps is longer than the run"),
        (["schedule=step", "schedule.every=2"], "not in a run of 2 epochs"),
        (["schedule=cosine_restarts", "schedule.epochs=3"], "longer than the run, which has 2"),
        (["schedule=cyclic", "schedule.epochs=2"], "a cycle takes 4 epochs, the run has 2"),
        (["schedule=one_cycle", "batch_size=2000", "epochs=1"], "does not fit into a run of 1 steps"),
        (["schedule=warmup", "schedule.steps=[1,1000]"], "1000 steps is longer than the run"),
        (["schedule=step", "schedule.every=[1,1.5]"], "must be a whole number or a list of whole numbers, got 1.5"),
        (["schedule=cosine", "schedule.end=[0,2]"], "end must be between 0 and 1, got 2.0"),
    ],
)
def test_a_schedule_longer_than_the_run_is_refused(overrides, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        run(compose([*BASE, *overrides, f"results={tmp_path / 'none'}"]))
    assert not (tmp_path / "none").exists()
    assert Constant().check(0, 0) is None
