"""Promise: every schedule is its namesake of torch.optim, and part of a step; the base rate stays in the records."""

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


BASE = ["network.hidden=[6,6]", "epochs=2", "batch_size=500", "progress=false", "threads=1", "optimizer.lr=[0.1,0.2]"]


def test_the_base_rate_is_recorded(tmp_path):
    config = compose([*BASE, "schedule=exponential", f"results={tmp_path}"])
    run(config)
    assert set(load_records(config.folder)["lr"]) == {0.1, 0.2}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["schedule=warmup", "schedule.steps=1000"], "1000 steps is longer than the run"),
        (["schedule=step", "schedule.every=2"], "not in a run of 2 epochs"),
        (["schedule=cosine_restarts", "schedule.epochs=3"], "longer than the run, which has 2"),
        (["schedule=cyclic", "schedule.epochs=2"], "a cycle takes 4 epochs, the run has 2"),
        (["schedule=one_cycle", "batch_size=2000", "epochs=1"], "does not fit into a run of 1 steps"),
    ],
)
def test_a_schedule_longer_than_the_run_is_refused(overrides, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        run(compose([*BASE, *overrides, f"results={tmp_path / 'none'}"]))
    assert not (tmp_path / "none").exists()
    assert Constant().check(0, 0) is None
