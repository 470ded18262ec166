"""Promise: the share of patterns that a step changes is what taking the step shows, and looking changes nothing."""

from dataclasses import replace

import pytest
import torch
from conftest import INVARIANT
from test_engines import small

from scaleinv.networks.mlp import mlp
from scaleinv.optim import SGD, Adam
from scaleinv.patterns.bits import keys, pack
from scaleinv.patterns.transitions import MODELS
from scaleinv.penalties.l2_weights import L2Weights
from scaleinv.probes.base import Probe, Reading
from scaleinv.probes.sensitivity import Sensitivity
from scaleinv.probes.temperature import Temperature
from scaleinv.runs.config import compose
from scaleinv.runs.datasets import load_dataset
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.run import run
from scaleinv.spaces import GSpace, WeightSpace
from scaleinv.starts.rescaled import RescaledStart
from scaleinv.training.cell import Cell
from scaleinv.training.stack import Stack

DATA = load_dataset("digits").to("cpu", torch.float64)
RATES = [0.1, 0.02]


NETWORK = mlp((64, 9, 7, 10), bias=True)
MOMENTUM = SGD(momentum=0.9)


def cell(space=WeightSpace(), optimizer=MOMENTUM, probes=(), network=NETWORK, **options):  # noqa: B008
    return Cell(network, DATA, space, optimizer, {"optimizer.lr": RATES}, [0, 1],
                batch_size=240, probes=probes, epochs=2, **options)  # fmt: skip


def stack(*args, **options):
    made = cell(*args, **options)
    return Stack(made, made.members)


class Catching(Reading):
    """Keeps what a reading is shown."""

    watches = True

    def __init__(self):
        """Begin with nothing."""
        self.trials = []

    def before(self, trial):
        shares = trial.changes(torch.stack([trial.lrs, 0 * trial.lrs, 10 * trial.lrs]))
        self.trials.append((trial.before, shares, trial.weights(trial.lrs), trial.point.images.clone(), trial.passes))

    def look(self):
        pass

    def read(self):
        return {}

    def tensors(self):
        return {}


class Catch(Probe):
    def columns(self, scene):
        return ()

    def attach(self, scene):
        return Catching()


def patterns(trained, images):
    hidden = trained.scene.evaluator.hidden_at(trained.weights, images)
    return [pack(z) for z in hidden]


@pytest.mark.parametrize(
    ("space", "optimizer"),
    [(WeightSpace(), SGD()), (WeightSpace(), Adam()), (GSpace(fix="keep"), SGD(momentum=0.9))],
    ids=["weight-sgd", "weight-adam", "gspace-momentum"],
)
@pytest.mark.parametrize("penalised", [False, True])
def test_a_tried_step_is_the_step(space, optimizer, penalised):
    """Weights, patterns and shares before and after, with momentum and penalties, whose state stays."""
    penalties = {"l2": L2Weights(strength=0.1)} if penalised else {}
    trained = stack(space, optimizer, [Catch(every=3)], penalties=penalties)
    (_, reading), step, seen = trained._readings[0], trained.step, []

    def watched(images, targets, watching=()):
        before = patterns(trained, images) if watching else None
        out = step(images, targets, watching)
        if watching:
            seen.append((before, patterns(trained, images), {n: w.clone() for n, w in trained.weights.items()}))
        return out

    trained.step = watched
    trained.train_epoch(1)
    assert len(seen) == len(reading.trials) == 2
    for (before, after, weights), (known, shares, tried, images, passes) in zip(seen, reading.trials, strict=True):
        assert passes == 3
        for name, w in weights.items():
            torch.testing.assert_close(tried[name], w, rtol=1e-9, atol=1e-12)
        for layer, (old, new, packed) in enumerate(zip(before, after, known, strict=True)):
            assert torch.equal(old, packed)
            differ = keys(old) != keys(new)
            assert torch.equal(shares.shares[0, :, layer], differ.double().mean(-1))
        assert (shares.shares[1] == 0).all()  # at learning rate 0
        assert (shares.shares[2] >= shares.shares[0] - 0.05).all()
        torch.testing.assert_close(shares.by_image.mean(-1), shares.shares.mean(-1))
        assert images.shape == (2, 240, 64)


PLAIN = {}


@pytest.mark.parametrize("probes", [[Temperature(every=1)], [Temperature(every=4), Sensitivity(points=5)]])
@pytest.mark.parametrize("optimizer", [SGD(), Adam()], ids=["sgd", "adam"])
def test_watching_changes_no_bit(optimizer, probes):
    key = type(optimizer)
    if key not in PLAIN:
        PLAIN[key] = stack(optimizer=optimizer)
        PLAIN[key].train_epoch(1)
    watched = stack(optimizer=optimizer, probes=probes)
    watched.train_epoch(1)
    for name, w in PLAIN[key].weights.items():
        assert torch.equal(watched.weights[name], w)


def test_columns_arrays_and_a_resume():
    trained = stack(probes=[Temperature(every=2), Sensitivity(points=7, images=3)])
    probed = []
    for epoch in (1, 2):
        trained.train_epoch(epoch)
        probed.append(trained.result(None).probed)
        again = stack(probes=trained.cell.probes)
        again.load({name: t.clone() for name, t in trained.tensors().items()})
        trained = again
    arrays = trained.arrays()
    assert arrays["temperature/steps"][0].tolist() == [0, 2, 4, 6, 8, 10]
    assert arrays["sensitivity/steps"][0].tolist() == [0, 6]
    assert arrays["temperature/lr"].tolist() == [[rate] * 6 for rate in RATES * 2]
    assert arrays["sensitivity/distance"].shape == (4, 2, 7, 2)
    assert arrays["sensitivity/by_image"].shape == (4, 2, 7, 3)
    assert (arrays["sensitivity/distance"][:, :, 0] <= arrays["sensitivity/distance"][:, :, -1]).all()
    for epoch in (0, 1):
        shares = arrays["temperature/distance"][:, 3 * epoch : 3 * epoch + 3].mean(1)
        for layer in (0, 1):
            torch.testing.assert_close(probed[epoch][f"distance_{layer + 1}"], shares[:, layer])
        torch.testing.assert_close(probed[epoch]["distance_mean"], shares.mean(-1))
        bits = -torch.log2(1 - shares.mean(-1))
        torch.testing.assert_close(probed[epoch]["temperature_mean"], bits)
        maps = arrays["sensitivity/distance"][:, epoch].mean(-1)
        for member in range(4):
            mu, sigma, error = (
                probed[epoch][f"sensitivity_{name}"][member].item() for name in ("mu", "sigma", "error")
            )
            assert MODELS["log"].forward(arrays["sensitivity/lrs"][0].numpy(), mu, sigma) == pytest.approx(
                maps[member].numpy(), abs=3 * error + 0.01
            )
            assert error < 0.2
        flips = arrays["temperature/flips"][:, 3 * epoch : 3 * epoch + 3].mean(1)
        assert (flips <= shares).all()


def test_a_map_of_fifty_rates_costs_fifty_passes():
    trained = stack(probes=[Catch(every=0), Sensitivity()])
    reading = trained._readings[0][1]
    reading.before = lambda trial: reading.trials.append(trial)
    trained.train_epoch(1)
    assert [trial.passes for trial in reading.trials] == [50]


SOME = {name: INVARIANT[name] for name in ("gspace-keep", "gspace-balanced-maxprod", "cycle-maxprod", "cycle-balanced")}


@pytest.mark.parametrize("space", [*SOME.values(), WeightSpace()], ids=[*SOME, "weight"])
@pytest.mark.parametrize("optimizer", [SGD(), Adam()], ids=["sgd", "adam"])
def test_temperature_is_invariant_where_training_is(space, optimizer):
    """Theorem B, exactly: in an invariant space the same patterns change; in weight space others do."""
    shares = {}
    for sigma in (0.0, 1.0):
        start = RescaledStart(sigma=sigma, powers_of_two=True)
        network = mlp((64, 9, 7, 10))
        trained = stack(space, optimizer, [Temperature(every=1)], network, start=start)
        trained.train_epoch(1)
        shares[sigma] = trained.arrays()["temperature/distance"][:, :6]
    assert torch.equal(shares[0.0], shares[1.0]) == (not isinstance(space, WeightSpace))


def test_batch_norm_is_tried_as_it_trains():
    """With the statistics of the batch, before and after, and the running ones stay."""
    network = small(True)
    trained = stack(WeightSpace(), SGD(), [Catch(every=6), Temperature(every=1)], network)
    plain = stack(WeightSpace(), SGD(), (), network)
    for one in (trained, plain):
        one.train_epoch(1)
    for name, t in plain.module_state().items():
        assert torch.equal(trained.module_state()[name], t)
    assert trained._readings[0][1].trials[0][1].shares[1].eq(0).all()
    assert trained.arrays()["temperature/distance"][:, :6].gt(0).all()


@pytest.mark.parametrize(
    ("probe", "words"),
    [
        ("{name: temperature, every: 0}", "every must be at least 1: a temperature belongs to one step"),
        ("{name: sensitivity, lowest: 1.0, highest: 0.1}", "lowest must be above 0 and below highest, got 1.0 and 0.1"),
        ("{name: sensitivity, points: 1}", "points must be at least 2 and images at least 0, got 1 and 0"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(probe, words):
    with pytest.raises(ConfigError, match=words):
        compose([f"probes=[{probe}]"])


def test_it_runs_from_the_command(tmp_path):
    config = compose(["probes=[{name: temperature, every: 3},sensitivity]", "epochs=1", "network.hidden=[5]",
                      "progress=false", f"results={tmp_path}", "batch_size=500", "dtype=float32"])  # fmt: skip
    run(config)
    head = (config.folder / "metrics.csv").read_text().splitlines()[0]
    assert head.endswith(
        "distance_1,distance_mean,temperature_1,temperature_mean,flips_1,flips_mean,"
        "sensitivity_mu,sensitivity_sigma,sensitivity_error"
    )
    assert replace(config.probes[0], every=4).every == 4
