"""Promise: weights are read by coin tosses with exactly the moments of the formulas, in training and in scoring."""

from dataclasses import replace

import pytest
import torch
from conftest import TINY, draw

from scaleinv.networks.mlp import mlp
from scaleinv.numbers import PSB, FloatNumber
from scaleinv.numbers._sampling import decode, encode, fixed_point, on_grid, sample, variance
from scaleinv.numbers.base import Draws
from scaleinv.numbers.p_bits import PBits
from scaleinv.optim import SGD
from scaleinv.runs.config import compose
from scaleinv.runs.datasets import load_dataset
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.records import load_records
from scaleinv.runs.run import run
from scaleinv.spaces import WeightSpace
from scaleinv.training.cell import Cell
from scaleinv.training.stack import Stack

GENERATOR = torch.Generator()


def test_decoding_is_exact():
    w = torch.randn(1000, generator=GENERATOR.manual_seed(0)) * torch.logspace(-30, 30, 1000)
    edges = torch.tensor([0.0, 1.0, -2.0, 0.5, 1 - 2**-24, torch.finfo().tiny, torch.finfo().max])
    for values in (w, edges):
        sign, exponent, p = encode(values)
        assert torch.equal(decode(sign, exponent, p), values)
        assert ((p >= 0) & (p < 1)).all()


@pytest.mark.parametrize("n", [1, 4, 16])
def test_moments(n):
    """Monte Carlo over formula: 1.000 for the mean and the variance; the bounds on the relative spread hold."""
    w = torch.tensor([4 / 3, 1.5, -1.1, 0.3, 2.0, -0.25, 0.0], dtype=torch.float64)
    many = sample(w.expand(100_000, -1).contiguous(), n, GENERATOR.manual_seed(1))
    wanted = variance(w) / n
    torch.testing.assert_close(
        variance(w),
        3 * encode(w)[1].double().exp2() * w.abs() - 2 * encode(w)[1].double().exp2() ** 2 * (w != 0) - w**2,
    )
    noisy = wanted > 0
    assert noisy.tolist() == [True, True, True, True, False, False, False]
    assert torch.equal(many[:, ~noisy], w[~noisy].expand(len(many), -1))
    deviation = (many.mean(0) - w).abs()[noisy] / (wanted[noisy] / len(many)).sqrt()
    assert (deviation < 4).all()
    torch.testing.assert_close(
        many.var(0)[noisy] / wanted[noisy], torch.ones(4, dtype=torch.float64), rtol=0.02, atol=0
    )
    assert (wanted.sqrt() <= w.abs() / (8 * n) ** 0.5 * (1 + 1e-12)).all()
    assert float(wanted[0].sqrt() / w[0]) == pytest.approx((8 * n) ** -0.5)
    assert (many.sign() == w.sign()).all()


def test_powers_of_two_commute_with_the_draw():
    w = draw(TINY)["0.weight"]
    one, other = (sample(v, 5, GENERATOR.manual_seed(2)) for v in (w, 8 * w))
    assert torch.equal(8 * one, other)


def test_grids():
    assert on_grid(torch.tensor([0.0, 0.49, 0.5, 0.99]), 1).tolist() == [0, 0, 1, 1]
    w = torch.tensor([1.4, -1.6, 3.9])
    assert sample(w, 3, GENERATOR.manual_seed(0), bits=1).tolist() == [1.0, -2.0, 4.0]
    x = torch.tensor([-40.0, -32.0, 0.0, 1.0, 31.9], requires_grad=True)
    y = fixed_point(x)
    assert (y - x.clamp(-32, 32)).abs().max() < 64 / 2**15
    assert torch.equal(torch.autograd.grad(y.sum(), x)[0], torch.ones(5))


@pytest.fixture(scope="module")
def data():
    whole = load_dataset("digits").to("cpu", torch.float64)
    few = torch.arange(300)
    return replace(whole, train=whole.train.part(few), val=whole.val.part(few))


def stack(data, number, axes=None, seeds=(0,), epochs=2):
    network = mlp((data.features, 8, 7, data.classes), bias=True)
    grid = {"optimizer.lr": (0.1,), **(axes or {})}
    made = Cell(network, data, WeightSpace(), SGD(), grid, seeds, batch_size=100, number=number, epochs=epochs)
    trained = Stack(made, made.members)
    for epoch in range(1, epochs + 1):
        trained.train_epoch(epoch)
    return trained


def test_the_gradient_is_that_at_the_weights_that_were_read(data):
    trained = stack(data, PSB(samples=1), epochs=0)
    weights = {n: w.clone() for n, w in trained.weights.items()}
    images, labels = data.normalise(data.train.images[:20]), data.train.labels[:20]
    targets = trained.cell.loss.targets(labels[None], 10, torch.float64)
    read = PSB(samples=1).read(trained.scene.network.graph, weights, Draws((0,), "training", 0))
    assert not torch.equal(read["0.weight"], weights["0.weight"])
    assert torch.equal(read["0.bias"], weights["0.bias"])
    leaves = {n: w[0].clone().requires_grad_() for n, w in read.items()}
    loss = torch.nn.functional.cross_entropy(trained.scene.network.forward(leaves, images), labels)
    grads = torch.autograd.grad(loss, list(leaves.values()))
    trained.step(images[None], targets)
    for (name, w), g in zip(weights.items(), grads, strict=True):
        torch.testing.assert_close(trained.weights[name][0], w[0] - 0.1 * g)


def test_samples_are_an_axis_and_each_equals_itself_alone(data):
    together = stack(data, PSB(), {"number.samples": (1.0, 4.0, 32.0)}, seeds=(0, 1))
    for i, one in enumerate(together.members):
        alone = stack(data, PSB(samples=one.at["number.samples"]), seeds=(one.seed,))
        for name, w in alone.weights.items():
            torch.testing.assert_close(together.weights[name][i], w[0], rtol=1e-9, atol=1e-12)
        for found, wanted in zip(together.result(None).probed, alone.result(None).probed, strict=True):
            assert found == wanted
        torch.testing.assert_close(together.score(data.val).loss[i], alone.score(data.val).loss[0])


def test_an_interrupted_run_goes_on_with_the_same_draws_and_scoring_changes_none(data):
    whole = stack(data, PSB(samples=2))
    first = stack(data, PSB(samples=2), epochs=1)
    first.score(data.val)
    second = stack(data, PSB(samples=2), epochs=0)
    second.load({n: t.clone() for n, t in first.tensors().items()})
    second.train_epoch(2)
    assert all(torch.equal(whole.weights[n], w) for n, w in second.weights.items())
    assert int(second.tensors()["draws"]) == 6


def test_float_is_what_was(data):
    assert "draws" not in stack(data, FloatNumber()).tensors()
    assert compose().run_id == compose(["number=float"]).run_id


def test_in_a_run(tmp_path):
    base = ["network.hidden=[8,8]", "batch_size=300", "progress=false", f"results={tmp_path}", "epochs=1"]
    config = compose([*base, "number=psb", "number.samples=[1,64]"])
    run(config)
    assert sorted(set(load_records(config.folder)["number.samples"])) == [1.0, 64.0]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("number.samples=0", "samples must be a whole number from 1, got 0"),
        ("number.samples=1.5", "samples must be a whole number from 1, got 1.5"),
        ("number=p_bits number.bits=0", "bits must be at least 1, got 0"),
        ("number.bits=40", "bits must be from 1 to 24, or 0 for all, got 40"),
    ],
)
def test_bad_input_is_one_sentence(override, message):
    with pytest.raises(ConfigError, match=message):
        compose(["number=psb", *override.split()])


def test_bits_have_a_class_of_their_own():
    assert PBits(bits=2).bits == 2
