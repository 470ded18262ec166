"""Promise: a gauge during training changes weights and optimizer state together, and never the function."""

from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
import torch
from conftest import KINDS, TINY, assert_close, batch, draw, gradient, member, stacked_gradients
from small_networks import DESCRIBED, MODULES
from torch import nn

from scaleinv.gauging import BalanceGauge, ENormGauge, TeleportGauge
from scaleinv.numbers import FloatNumber
from scaleinv.optim import SGD, Adam, AdamW, GradientTransformation, Optimizer, RMSprop
from scaleinv.optim.adagrad import AdaGrad
from scaleinv.optim.base import Point
from scaleinv.optim.ddp_sgd import DDPSGD
from scaleinv.optim.natural_gradient import NaturalGradient
from scaleinv.optim.path_sgd import PathSGD
from scaleinv.optim.sam import SAM
from scaleinv.runs.config import compose
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.records import load_records
from scaleinv.runs.registry import names
from scaleinv.runs.run import run
from scaleinv.spaces import WeightSpace
from scaleinv.symmetry.balance import balance
from scaleinv.symmetry.group import random_scales, rescale
from scaleinv.training.autograd import make_engine
from scaleinv.training.regauge import check_gauge, regauge_
from scaleinv.training.stack import Stack, flatten, move_

GAUGES = {"balance": BalanceGauge(), "enorm": ENormGauge(biases=True), "teleport": TeleportGauge(rate=1.0, bound=0.5)}
NETWORKS = {"chain": TINY, "valley": KINDS["valley"], **MODULES} | {
    kind: DESCRIBED[kind].network for kind in ("projection", "residual_with_batch_norm")
}
# Every optimizer of the registry, with a state wherever it can have one.
OPTIMIZERS = {
    "sgd": SGD(momentum=0.9, nesterov=True),
    "adam": Adam(eps=1e-30),
    "adamw": AdamW(eps=1e-30),
    "rmsprop": RMSprop(eps=1e-30, momentum=0.9),
    "adagrad": AdaGrad(eps=1e-30),
    "sam": SAM(momentum=0.9, rho=0.0),
    "path_sgd": PathSGD(momentum=0.9),
    "ddp_sgd": DDPSGD(momentum=0.9, probes=2),
    "natural_gradient": NaturalGradient(momentum=0.9),
}


class Training:
    """A stack in weight space, trained by the functions that runs use."""

    def __init__(self, network, optimizer, weights, lr=0.01):
        """Begin at the weights."""
        self.network, self.chart = network, WeightSpace().chart(network.graph, weights)
        self.weights, self.rule = self.chart.start(), optimizer.transformation()
        self.state = self.rule.init(self.weights)
        some = next(iter(weights.values()))
        self.statistics = network.buffers(len(some), some.dtype)
        self.engine = make_engine(network, self.statistics)
        self.second = make_engine(network, {name: b.clone() for name, b in self.statistics.items()})
        self.sizes = torch.full((len(some),), -lr, dtype=some.dtype)

    def step(self, k):
        images, labels = batch(self.network, 16, next(iter(self.weights.values())).dtype, seed=k)
        logits, found = gradient(self.engine, self.weights, images, labels)
        elsewhere = lambda w: gradient(self.second, w, images, labels)[1].whole(w)  # noqa: E731
        place = (self.weights, images[None], logits, self.network, self.chart, self.statistics)
        self.state = move_(self.rule, Point(*place, elsewhere), found, self.state, self.sizes)

    def regauge(self, gauge, k=0):
        images, labels = batch(self.network, 16, next(iter(self.weights.values())).dtype, seed=k)
        there = lambda: gradient(self.second, self.weights, images, labels)[1].whole(self.weights)  # noqa: E731
        regauge_(gauge, self.network.graph, self.weights, self.state, self.rule, there)

    def outputs(self):
        images, _ = batch(self.network, 8, next(iter(self.weights.values())).dtype)
        return self.network.forward({**self.statistics, **self.weights}, images).detach()


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("gauge", GAUGES)
def test_the_function_is_kept_and_by_powers_of_two_to_the_last_bit(gauge, kind):
    network = NETWORKS[kind]
    training = Training(network, SGD(), draw(network))
    before, drawn = training.outputs(), {n: w.clone() for n, w in training.weights.items()}
    training.regauge(GAUGES[gauge])
    torch.testing.assert_close(training.outputs(), before, rtol=1e-12, atol=1e-12)
    assert any((training.weights[n] / w - 1).abs().max() > 1e-2 for n, w in drawn.items())
    training = Training(network, SGD(), rescale(network.graph, drawn, torch.full((network.graph.hidden,), 8.0)))
    before = training.outputs()
    training.regauge(replace(GAUGES[gauge], powers_of_two=True, **({"bound": 3.0} if gauge == "teleport" else {})))
    assert torch.equal(training.outputs(), before)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_state_is_that_of_a_training_at_rescaled_weights(name):
    """Gradients are collected without moving: then only the state can differ. After the change both go on alike."""
    weights, gauge = draw(TINY), BalanceGauge()
    early, late = Training(TINY, OPTIMIZERS[name], weights, 0.0), Training(TINY, OPTIMIZERS[name], weights, 0.0)
    late.regauge(gauge)
    for k in range(4):
        early.step(k)
        late.step(k)
    early.regauge(gauge)
    assert_close(flatten(early.state, ""), flatten(late.state, ""), 1e-9)
    for training in (early, late):
        training.sizes.fill_(-1e-4)
        for k in range(4, 10):
            training.step(k)
    assert_close(early.weights, late.weights, 1e-9)


def test_every_optimizer_of_the_registry_says_how_its_state_follows():
    assert set(OPTIMIZERS) == set(names("scaleinv.optim"))


@pytest.mark.parametrize("name", ["path_sgd", "ddp_sgd"])
def test_an_equivariant_method_does_not_notice_a_gauge(name):
    weights = rescale(TINY.graph, draw(TINY), torch.full((TINY.graph.hidden,), 8.0))
    plain, gauged, exact = (Training(TINY, OPTIMIZERS[name], weights, 1e-3) for _ in range(3))
    for k in range(10):
        gauged.regauge(GAUGES["enorm"])
        exact.regauge(BalanceGauge(powers_of_two=True))
        for training in (plain, gauged, exact):
            training.step(k)
    torch.testing.assert_close(gauged.outputs(), plain.outputs(), rtol=1e-9, atol=1e-9)
    assert torch.equal(exact.outputs(), plain.outputs())
    assert not torch.equal(exact.weights["0.weight"], plain.weights["0.weight"])


def test_balanced_before_every_step_plain_descent_does_not_depend_on_the_gauge():
    """Not even on one that changes before every step; not so without, nor where the balance comes once in two steps."""
    weights = draw(TINY)
    generator = torch.Generator().manual_seed(2)
    found = {}
    for every in (1, 2, 0):
        runs = [Training(TINY, SGD(), weights, 0.05) for _ in range(2)]
        for k in range(8):
            scales = random_scales(TINY.graph, 1.0, True, generator)
            runs[1].weights = rescale(TINY.graph, runs[1].weights, scales)
            for training in runs:
                if every and k % every == 0:
                    training.regauge(BalanceGauge())
                training.step(k)
        found[every] = torch.equal(runs[0].outputs(), runs[1].outputs())
    assert found == {1: True, 2: False, 0: False}


# Serial references: one network, torch.optim, loops over layers.


def serial(weights, lr, momentum, between, steps):
    parts = [part for i in range(4) for part in (nn.Linear(*TINY.sizes[i : i + 2]), nn.ReLU())]
    model = nn.Sequential(*parts[:-1]).double()
    model.load_state_dict(weights)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)
    layers = [part for part in model if isinstance(part, nn.Linear)]
    for k in range(steps):
        images, labels = batch(TINY, 16, seed=k)
        between(k, model, optimizer, layers, images, labels)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return {name: p.detach() for name, p in model.named_parameters()}


@torch.no_grad()
def multiply(optimizer, first, second, scale):
    """Rescale the nodes between two layers, and momentum as gradients follow."""
    for p, factor in ((first.weight, scale[:, None]), (first.bias, scale), (second.weight, 1 / scale)):
        p.mul_(factor)
        if (buffer := optimizer.state[p].get("momentum_buffer")) is not None:
            buffer.div_(factor)


def balanced_by_sweeps(k, model, optimizer, layers, images, labels):
    for _ in range(60):
        for first, second in pairwise(layers):
            into = first.weight.square().sum(1) + first.bias.square()
            multiply(optimizer, first, second, ((second.weight.square().sum(0) / into) ** 0.25).detach())


def one_cycle(k, model, optimizer, layers, images, labels):
    if k:
        for first, second in pairwise(layers):
            ratio = second.weight.norm(dim=0) / (1.1 * first.weight.norm(dim=1))
            multiply(optimizer, first, second, ratio.sqrt().detach())


def ascent(k, model, optimizer, layers, images, labels):
    """By two derivatives of the loss at rescaled weights, and without the closed form."""
    x = [torch.zeros(layer.out_features, dtype=torch.float64) for layer in layers[:-1]]
    for _ in range(3):
        x = [part.detach().requires_grad_() for part in x]
        w, ends = {}, [torch.zeros(TINY.features), *x, torch.zeros(TINY.outputs)]
        for i, layer in enumerate(layers):
            moved = layer.weight.detach() * (ends[i + 1][:, None] - ends[i]).exp()
            w[f"{2 * i}.weight"], w[f"{2 * i}.bias"] = moved, layer.bias.detach() * ends[i + 1].exp()
        w = {name: t if t.requires_grad else t.requires_grad_() for name, t in w.items()}
        loss = nn.functional.cross_entropy(torch.func.functional_call(model, w, images), labels)
        grads = torch.autograd.grad(loss, list(w.values()), create_graph=True)
        slopes = torch.autograd.grad(sum(g.square().sum() for g in grads), x)
        x = [(part + 0.2 * slope).clamp(-0.3, 0.3) for part, slope in zip(x, slopes, strict=True)]
    for first, second, part in zip(layers, layers[1:], x, strict=False):
        multiply(optimizer, first, second, part.detach().exp())


@pytest.mark.parametrize(
    ("gauge", "between", "momentum"),
    [
        pytest.param(BalanceGauge(every=1), balanced_by_sweeps, 0.0, id="balance"),
        pytest.param(ENormGauge(c=1.1), one_cycle, 0.9, id="enorm"),
        pytest.param(TeleportGauge(steps=3, rate=0.2, bound=0.3), ascent, 0.9, id="teleport"),
    ],
)
def test_training_equals_serial_code(gauge, between, momentum):
    weights = draw(TINY, 2)
    training = Training(TINY, SGD(momentum=momentum), weights, 0.05)
    for k in range(6):
        if gauge.is_due(k):
            training.regauge(gauge, k)
        training.step(k)
    for i in range(2):
        assert_close(member(training.weights, i), serial(member(weights, i), 0.05, momentum, between, 6), 1e-8)


def test_many_cycles_lead_to_the_balanced_gauge():
    network = MODULES["residual"]
    training = Training(network, SGD(), draw(network, 1))
    training.regauge(ENormGauge(cycles=60, biases=True))
    assert_close(training.weights, balance(network.graph, draw(network, 1)), 1e-6)


def test_teleportation_raises_the_gradient_norm_within_its_bound():
    training = Training(TINY, SGD(), {name: w.expand(3, *w.shape[1:]) for name, w in draw(TINY, 1).items()})
    before = {n: w.clone() for n, w in training.weights.items()}
    images, labels = batch(TINY, 16, seed=0)
    norms = []
    for bound in (None, torch.tensor([0.0, 0.1, 0.2], dtype=torch.float64)):
        if bound is not None:
            training.regauge(TeleportGauge(rate=10.0, bound=bound))
        grads = stacked_gradients(TINY, training.weights, images, labels)
        norms.append(sum(g.flatten(1).square().sum(1) for g in grads.values()))
    gain = norms[1] / norms[0]
    assert gain[0] == 1
    assert 1.05 < gain[1] < gain[2]
    moved = (training.weights["0.bias"] / before["0.bias"]).log().abs().amax(1)
    torch.testing.assert_close(moved, torch.tensor([0.0, 0.1, 0.2], dtype=torch.float64), rtol=1e-9, atol=1e-12)


def test_a_member_that_diverged_stays_and_disturbs_nobody():
    weights = draw(TINY, 3)
    weights["2.weight"][1, 0, 0] = torch.nan
    weights["2.bias"][2] = 1e200
    for gauge in GAUGES.values():
        training, alone = (
            Training(TINY, Adam(), draw(TINY, 3) if i == 0 else {n: w[:1] for n, w in weights.items()})
            for i in range(2)
        )
        for name, w in weights.items():
            training.weights[name].copy_(w)
        training.regauge(gauge)
        alone.regauge(gauge)
        for name, w in training.weights.items():
            torch.testing.assert_close(w[:1], alone.weights[name], rtol=1e-10, atol=1e-12)
            assert torch.equal(w[1:].nan_to_num(7.0), weights[name][1:].nan_to_num(7.0))


def test_turns():
    assert [k for k in range(12) if BalanceGauge(every=4).is_due(k)] == [0, 4, 8]
    assert [k for k in range(6) if ENormGauge().is_due(k)] == [1, 2, 3, 4, 5]
    assert [k for k in range(12) if TeleportGauge(every=2, first=3).is_due(k)] == [3, 5, 7]


# Runs.

SMALL = ["epochs=2", "seeds=2", "optimizer.lr=[0.1,0.01]", "network.hidden=[8,8]", "progress=false", "threads=1"]


def metrics(tmp_path, *words):
    config = compose([*SMALL, f"results={tmp_path}", *words])
    run(config)
    return config, (config.folder / "metrics.csv").read_text()


def test_a_run_is_a_function_of_its_gauge(tmp_path):
    """An exact gauge is invisible to Path-SGD; it is visible to SGD with momentum; an axis of a gauge is a column."""
    still = ["optimizer=path_sgd", "optimizer.lr=[0.001,0.0001]", "dtype=float64"]
    plain, without = metrics(tmp_path, *still)
    config, gauged = metrics(tmp_path, *still, "gauge=balance", "gauge.every=5", "gauge.powers_of_two=true")
    assert gauged == without
    assert config.run_id != plain.run_id
    assert metrics(tmp_path, *still, "gauge=none")[0].run_id == plain.run_id
    moving = ["optimizer.momentum=0.9", "gauge=enorm", "gauge.c=[1.0,1.2]"]
    table = load_records(metrics(tmp_path, *moving)[0].folder)
    best = table.groupby("gauge.c")["val_loss"].min()
    assert len(best) == 2
    assert best.nunique() == 2


def test_an_interrupted_run_ends_with_the_same_bytes(tmp_path, monkeypatch):
    words = ["optimizer=adam", "optimizer.lr=[0.01]", "gauge=enorm", "gauge.every=3", "checkpoint_seconds=0"]
    _, wanted = metrics(tmp_path / "whole", *words)
    train_epoch = Stack.train_epoch

    def stops(self, epoch, after_step=None):
        if epoch == 2:
            raise KeyboardInterrupt
        return train_epoch(self, epoch, after_step)

    with monkeypatch.context() as patch:
        patch.setattr(Stack, "train_epoch", stops)
        with pytest.raises(KeyboardInterrupt):
            metrics(tmp_path / "halves", *words)
    assert metrics(tmp_path / "halves", *words)[1] == wanted


@dataclass(frozen=True, kw_only=True)
class Unknown(Optimizer):
    """A rule of a user's own that says nothing about gauges."""

    def rule(self):
        init = lambda coords: {"sum": {name: torch.zeros_like(c) for name, c in coords.items()}}  # noqa: E731
        return GradientTransformation(init, lambda grads, state, point: (grads, state))


def test_an_unknown_state_is_refused_and_no_state_is_not():
    network, number = KINDS["straight"], FloatNumber()
    for optimizer in (Unknown(memory=False), SGD()):
        rule = optimizer.transformation()
        check_gauge(BalanceGauge(), WeightSpace(), number, network.graph, rule, "Unknown")
    with pytest.raises(ValueError, match="Unknown does not say how its state follows"):
        check_gauge(BalanceGauge(), WeightSpace(), number, network.graph, Unknown().transformation(), "Unknown")


def test_clipping_has_no_state_to_carry():
    """Shortened by nothing, a momentum goes on under a gauge as if there were no clipping."""
    trained = []
    for clip in (0.0, 1e9):
        optimizer, network = SGD(momentum=0.9, clip=clip), TINY
        check_gauge(BalanceGauge(), WeightSpace(), FloatNumber(), network.graph, optimizer.transformation(), "SGD")
        training = Training(network, optimizer, draw(network, 2))
        for k in range(3):
            training.regauge(BalanceGauge(), k)
            training.step(k)
        trained.append(flatten(training.weights, ""))
    assert all(torch.equal(w, trained[1][name]) for name, w in trained[0].items())


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["space=cycle"], "only in weight space"),
        (["space=fixed_keep"], "only in weight space"),
        (["network.hidden=[]"], "hidden channels"),
        (["number=psb"], "number format"),
        (["gauge.every=0"], "at least 1"),
    ],
)
def test_what_makes_no_sense_is_refused(words, reason, tmp_path):
    with pytest.raises(ConfigError, match=reason):
        run(compose([*SMALL, f"results={tmp_path / 'none'}", "gauge=balance", *words]))
    assert not (tmp_path / "none").exists()
