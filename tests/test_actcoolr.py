"""Promise: ActCooLR finds the learning rate that changes the prescribed share of patterns, at little cost."""

import math
import multiprocessing
import os
import signal
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from safetensors.torch import load_file

from scaleinv.losses.cross_entropy import CrossEntropy
from scaleinv.networks.mlp import mlp
from scaleinv.optim import SGD
from scaleinv.patterns.transitions import MODELS
from scaleinv.runs.config import compose
from scaleinv.runs.datasets import load_dataset
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.run import run
from scaleinv.schedules.actcoolr import ActCooLR, fitted
from scaleinv.schedules.replay import Replay
from scaleinv.spaces import CycleSpace, WeightSpace
from scaleinv.starts.rescaled import RescaledStart
from scaleinv.training.cell import Cell
from scaleinv.training.stack import Stack
from scaleinv.training.trial import Trial

LOG = MODELS["log"]


def searched(options, curve, mu=-1.0, sigma=1.0):
    """Answer a search's questions by a curve; return its pairs of rate and share, and the new model."""
    search = options.search(mu, sigma)
    rate, seen = next(search), []
    while True:
        seen.append((rate, float(curve(rate))))
        try:
            rate = search.send(seen[-1][1])
        except StopIteration as ended:
            return seen, ended.value


@pytest.mark.parametrize("mu", [-9.0, -3.0, -1.0, 2.5])
@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.0])
def test_one_fit_finds_the_model(mu, sigma):
    """From any guess, with an exact curve; the learning rate for a target then gives it."""
    options = ActCooLR()
    seen, model = searched(options, lambda rate: LOG.forward(rate, mu, sigma))
    assert len(seen) <= 9
    assert model == pytest.approx((mu, sigma), rel=1e-6, abs=1e-6)
    for target in (0.01, 0.5, 0.89, 0.99):
        assert LOG.forward(options.rate(target, *model), mu, sigma) == pytest.approx(target, rel=1e-5)


@pytest.mark.parametrize("samples", [32, 1000])
@pytest.mark.parametrize("mu", [-11.0, -6.0, -1.0, 4.0])
def test_the_search_brackets_the_transition(mu, samples):
    """Of a curve known to 1/M, which is 0 or 1 almost everywhere; also with the default limit of passes."""
    curve = lambda rate: round(float(LOG.forward(rate, mu, 0.7)) * samples) / samples  # noqa: E731
    seen, model = searched(replace(ActCooLR(), passes=100), curve)
    shares = [share for _, share in seen]
    assert min(shares) <= 0.25
    assert max(shares) >= 0.75
    assert len(seen) <= 3 + math.log2(12 / 0.5) + 2 * (math.log2(math.exp(0.7 * 2 * 0.68)) + 2)
    assert abs(model[0] - mu) < 0.2
    seen, model = searched(ActCooLR(), curve)
    assert len(seen) <= 9
    assert abs(model[0] - mu) < 0.4


def literal(curve, rate, target, upwards, limit=32):
    """The search as P's A.4 prints it, lines 7 to 14: the test that ends it is the wrong way round."""
    shares = [curve(rate)]
    while len(shares) < limit:
        rate = rate * 2 if (shares[-1] < target) == upwards else rate / 2
        shares.append(curve(rate))
        if shares[-1] < target if upwards else shares[-1] > target:
            break
    return shares


def test_the_search_as_printed_brackets_nothing():
    curve = lambda rate: float(LOG.forward(rate, 0.0, 1.0))  # noqa: E731
    assert max(literal(curve, 0.01, 0.75, upwards=True)) < 0.75  # stops after one doubling
    assert min(literal(curve, 10.0, 0.25, upwards=False)) > 0.25  # stops after one halving
    for start, far in ((0.01, min), (10.0, max)):
        assert far(share for _, share in searched(ActCooLR(), curve, math.log(start))[0]) == pytest.approx(
            0.25 if far is min else 0.75, abs=0.25
        )


def test_a_curve_that_ends_below_the_targets_ends_the_search():
    """Of 1.2 nodes no more than half flip; the slope may not be positive, and there may be nothing at all."""
    seen, model = searched(ActCooLR(), lambda rate: MODELS["atan"].forward(rate, 3.0, 1.2))
    assert len(seen) == 9
    assert model[1] > 0
    assert searched(ActCooLR(), lambda rate: 0.0)[1] is None
    assert searched(ActCooLR(), lambda rate: 1.0)[1] is None
    assert fitted([(0.0, 0.5), (1.0, 0.5)], 0.7) == (0.5, 0.7)
    assert fitted([(0.0, 0.6), (1.0, 0.4)], 0.7)[1] == 0.7


@pytest.mark.parametrize("options", [{}, {"gamma": 4.0}, {"cooling": "cosine"}, {"mode": "probability"}])
def test_targets_fall(options):
    schedule = ActCooLR(**options)
    targets = [schedule.target(step / 100).item() for step in range(101)]
    assert all(a >= b for a, b in pairwise(targets))
    assert targets[0] == pytest.approx(0.99 if options.get("mode") else 1 - 2**-3.17)
    assert targets[-1] == pytest.approx(0, abs=1e-12)
    rates = [schedule.rate(target, -2.0, 0.7) for target in targets]
    assert all(a >= b >= schedule.lowest for a, b in pairwise(rates))
    assert math.isnan(schedule.rate(0.99, 30.0, 1.0))


DATA = load_dataset("digits").to("cpu", torch.float64)
SCHEDULE = ActCooLR(temperature=2.0)


def stack(schedule=SCHEDULE, lrs=(1.0,), space=WeightSpace(), network=mlp((64, 48, 48, 10), bias=True), **options):  # noqa: B008
    cell = Cell(network, DATA, space, SGD(momentum=0.9), {"optimizer.lr": list(lrs)}, [0, 1], batch_size=32,
                epochs=3, schedule=schedule, **options)  # fmt: skip
    return Stack(cell, cell.members)


def trained(*args, **options):
    made = stack(*args, **options)
    for epoch in (1, 2, 3):
        made.train_epoch(epoch)
    return made


@pytest.fixture(scope="module")
def closed():
    """A run of the closed loop, and the passes of each of its steps."""
    made, passes = stack(), []
    choose = made._controller.choose

    def counted(trial):
        before = {name: t.clone() for name, t in made.tensors().items() if not name.startswith("schedule")}
        lrs = choose(trial)
        assert all(torch.equal(t, before[name]) for name, t in made.tensors().items() if name in before)
        passes.append(trial.passes)
        return lrs

    made._controller.choose = counted
    for epoch in (1, 2, 3):
        made.train_epoch(epoch)
    return made, passes


def test_it_costs_less_than_a_quarter_of_a_pass(closed):
    """And a fit less than ten; measuring leaves weights and optimizer as they were."""
    made, passes = closed
    assert len(passes) == 3 * 45
    assert passes[0] <= 9
    assert all(count <= 1 + 9 for count in passes)
    assert sum(passes) / len(passes) < 0.25
    log = made.arrays()
    assert log["actcoolr/passes"][0].tolist() == torch.tensor(passes).cumsum(0).tolist()
    assert log["actcoolr/measured"].isfinite().sum(1).tolist() == [16, 16]  # every 8 steps, not at the first


def test_what_changes_follows_the_target(closed):
    log = closed[0].arrays()
    off = (log["actcoolr/measured"] - log["actcoolr/target"]).abs()
    assert off[off.isfinite()].mean() < 0.12
    assert (log["actcoolr/lr"] > 0).all()
    assert closed[0].score(DATA.val).correct.min() > 300


def test_a_measurement_on_the_curve_changes_nothing():
    controller = stack()._controller
    trial = Trial.__new__(Trial)
    trial.before = [torch.zeros(1, 1, 1000)]
    targets = torch.tensor([0.4, 0.2], dtype=torch.float64)
    rates = controller._rates(targets)
    before = controller._mu.clone()
    controller._correct(trial, targets, rates, targets)
    torch.testing.assert_close(controller._mu, before, rtol=1e-12, atol=1e-12)


def test_a_replay_of_its_own_record_is_the_same_run(closed):
    """Learning rates of seed 0 for both seeds: seed 0 trains alike to the bit, the other does not."""
    lrs = closed[0].arrays()["actcoolr/lr"]
    again = trained(Replay(factors=lrs[0].tolist()))
    for name, w in closed[0].weights.items():
        torch.testing.assert_close(again.weights[name][0], w[0], rtol=1e-9, atol=1e-12)
    assert not torch.allclose(again.weights["0.weight"][1], closed[0].weights["0.weight"][1])


class Quadrupled(CrossEntropy):
    def delta_(self, logits, targets, out):
        return super().delta_(logits, targets, out).mul_(4.0)


def test_a_loss_of_another_size_needs_another_rate_and_nothing_else(closed):
    """Exactly, for a power of two."""
    scaled = trained(lrs=[0.25], loss=Quadrupled())
    for name, w in closed[0].weights.items():
        assert torch.equal(scaled.weights[name], w)


def test_in_an_invariant_space_it_does_not_notice_a_rescaling():
    lrs = []
    for space in (CycleSpace(), WeightSpace()):
        for sigma in (0.0, 1.0):
            start = RescaledStart(sigma=sigma, powers_of_two=True)
            made = stack(space=space, start=start)
            made.train_epoch(1)
            lrs.append(made.arrays()["actcoolr/lr"][:, :45])
    assert torch.equal(lrs[0], lrs[1])
    assert not torch.allclose(lrs[2], lrs[3])


def test_temperatures_are_an_axis(closed):
    """Members with temperatures of their own train as alone."""
    config = compose(["schedule=actcoolr", "schedule.temperature=[2.0,0.5]", "optimizer.lr=1"])
    assert config.axes["schedule.temperature"] == (2.0, 0.5)
    cell = replace(
        closed[0].cell, schedule=ActCooLR(), axes={"optimizer.lr": [1.0], "schedule.temperature": [2.0, 0.5]}
    )
    made = Stack(cell, cell.members)
    for epoch in (1, 2, 3):
        made.train_epoch(epoch)
    for name, w in closed[0].weights.items():
        torch.testing.assert_close(made.weights[name][::2], w, rtol=1e-6, atol=1e-9)
    targets = made.arrays()["actcoolr/target"][:, 0]
    assert targets.tolist() == pytest.approx([0.75, 1 - 0.5**0.5] * 2)


BASE = ["schedule=actcoolr", "network.hidden=[8,8]", "epochs=3", "optimizer.lr=[1.0,1e200]", "seeds=2", "batch_size=64",
        "progress=false", "threads=1", "checkpoint_seconds=0", "dtype=float64", "chunk=2"]  # fmt: skip


def killed(overrides):
    """Begin a run and die at once, as by kill -9, when the second stack's second epoch begins."""
    train_epoch, calls = Stack.train_epoch, []

    def dying(self, epoch, after_step=None):
        calls.append(epoch)
        if calls == [1, 2, 3, 1, 2]:
            os.kill(os.getpid(), signal.SIGKILL)
        return train_epoch(self, epoch, after_step)

    Stack.train_epoch = dying
    run(compose(overrides))


def test_killed_it_ends_with_the_same_bytes(tmp_path):
    """Also with a member that diverges, which its neighbour does not notice."""
    whole, cut = ([*BASE, f"results={tmp_path / name}"] for name in ("whole", "cut"))
    run(compose(whole))
    child = multiprocessing.get_context("fork").Process(target=killed, args=(cut,))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    run(compose(cut))
    one, other = (compose(words).folder for words in (whole, cut))
    for file in ("metrics.csv", "arrays.safetensors"):
        assert one.joinpath(file).read_bytes() == other.joinpath(file).read_bytes()
    alone = compose([*BASE, "optimizer.lr=1.0", f"results={tmp_path / 'alone'}"])
    run(alone)
    lrs, neighbours = (load_file(folder / "arrays.safetensors")["actcoolr/lr"] for folder in (alone.folder, one))
    torch.testing.assert_close(lrs, neighbours[::2], rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("targets=[0.25,1.0]", r"targets must ascend between 0 and 1, got \[0.25, 1.0\]"),
        ("temperature=0", "temperature must be above 0 and finite, got 0"),
        ("cooling=quick", "cooling must be linear or cosine, got quick"),
        ("mode=heat", "mode must be temperature or probability, got heat"),
        ("passes=3", "passes must be above the number of targets, got 3"),
        ("jump=1.0", "jump must be above 1, got 1.0"),
        ("range=[1.0,0.1]", r"range must be two learning rates, ascending from above 0, got \[1.0, 0.1\]"),
        ("every=0", "every and errors must be at least 1"),
    ],
)
def test_bad_options_are_refused_in_one_sentence(override, words):
    with pytest.raises(ConfigError, match=words):
        compose(["schedule=actcoolr", f"schedule.{override}"])


def test_a_network_without_activations_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="the network has no activation, so it has no activation patterns"):
        run(compose(["schedule=actcoolr", "network.hidden=[]", f"results={tmp_path / 'none'}"]))
    assert not (tmp_path / "none").exists()
