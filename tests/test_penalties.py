"""Promise: a penalty adds its exact gradient to the loss's, and is invariant where its space is."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from conftest import (
    INVARIANT,
    L4,
    OTHERS,
    SPACES,
    TINY,
    FourthPowers,
    assert_close,
    batch,
    draw,
    gradient,
    member,
    point,
)

from scaleinv.networks.mlp import mlp
from scaleinv.optim import SGD, Adam, AdamW, RMSprop
from scaleinv.penalties import L2Coords, L2Weights, Penalty, SoftBalance
from scaleinv.penalties._repulsion import Repulsion
from scaleinv.penalties.pattern_entropy import PatternEntropy
from scaleinv.probes.base import Scene
from scaleinv.runs.config import compose
from scaleinv.runs.datasets import load_dataset
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.records import load_records
from scaleinv.runs.registry import find, names
from scaleinv.runs.run import run
from scaleinv.spaces import FixedWeightSpace, GSpace, WeightSpace
from scaleinv.spaces.weight import WeightChart
from scaleinv.symmetry.group import random_scales, rescale
from scaleinv.training.cell import Cell
from scaleinv.training.chain import ChainEngine
from scaleinv.training.stack import Stack, move_

LRS = [1e-2, 1e-3, 1e-4]


# Repulsion from checkpoints and soft balancing, which is zero in a balanced gauge, have tests of their own.
REGISTERED = [
    cls
    for name in names("scaleinv.penalties")
    if not issubclass(cls := find("scaleinv.penalties", name, Penalty), PatternEntropy | Repulsion | SoftBalance)
]
STRENGTHS = torch.tensor([0.3, 0.0, 2.0], dtype=torch.float64)
PENALTIES = [
    *(pytest.param(cls(strength=STRENGTHS), id=cls.__name__) for cls in REGISTERED),
    pytest.param(L4(strength=STRENGTHS), id="weights by autograd"),
    pytest.param(L4(strength=STRENGTHS, in_coordinates=True), id="coordinates by autograd"),
]


def attach(penalties, chart, weights, network=TINY):
    scene = Scene(network, chart, None, (), weights, None)
    return [penalty.attach(scene) for penalty in penalties]


def train(space, optimizer, penalties, weights, every_step=False, lrs=LRS, steps=10, network=TINY, dtype=torch.float64):
    """Train by the function that a stack trains with; with ``every_step`` rescale before every step."""
    chart = space.chart(network.graph, weights)
    weights = chart.start()
    rule = optimizer.transformation()
    state, engine = rule.init(weights), ChainEngine(network)
    terms = attach(penalties, chart, weights, network)
    generator = torch.Generator().manual_seed(7)
    for k in range(steps):
        if every_step:
            scales = random_scales(network.graph, powers_of_two=True, generator=generator, dtype=dtype)
            chart = chart.at(rescale(network.graph, weights, scales))
            weights = chart.start()
        _, grads = gradient(engine, weights, *batch(network, 16, dtype, seed=k))
        state = move_(rule, point(chart, weights, network), grads, state, -torch.tensor(lrs, dtype=dtype), terms)
    return weights


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("space", SPACES)
def test_gradient_is_autograd_through_the_chart(space, penalty):
    """Of the whole: the value as a function of the coordinates, whatever it is written in."""
    chart = space.chart(TINY.graph, draw(TINY))
    weights = chart.start()
    (term,) = attach([penalty], chart, weights)
    zeros = {name: torch.zeros_like(w) for name, w in weights.items()}
    coords = {name: c.detach().requires_grad_() for name, c in chart.to_coords(weights).items()}
    value = term.value(coords if term.in_coordinates else chart.to_weights(coords))
    wanted = torch.autograd.grad(value.sum(), list(coords.values()), materialize_grads=True)
    if term.in_coordinates:
        found = zeros
        term.add_gradient_(chart.to_coords(weights), found)
    else:
        term.add_gradient_(weights, zeros)
        found = chart.pullback(weights, zeros)
    assert_close(found, dict(zip(coords, wanted, strict=True)))
    assert value[0] > 0
    assert value[1] == 0


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("optimizer", [SGD, RMSprop], ids=["sgd", "rmsprop"])
def test_l2_on_coordinates_is_weight_decay(space, optimizer):
    weights = draw(TINY)
    decayed = train(space, optimizer(weight_decay=0.1, momentum=0.5), [], weights)
    assert_close(train(space, optimizer(momentum=0.5), [L2Coords(strength=0.1)], weights), decayed)
    free = train(space, optimizer(momentum=0.5), [], weights)
    assert not torch.allclose(decayed["0.weight"], free["0.weight"], rtol=1e-6)


def test_l2_is_not_decoupled_decay():
    weights = draw(TINY)
    decayed = train(WeightSpace(), AdamW(weight_decay=0.1), [], weights)
    both = train(WeightSpace(), AdamW(weight_decay=0.1), [L2Coords(strength=0.1)], weights)
    coupled = train(WeightSpace(), Adam(weight_decay=0.1), [], weights)
    assert_close(train(WeightSpace(), Adam(), [L2Coords(strength=0.1)], weights), coupled)
    for one, other in ((decayed, both), (decayed, coupled)):
        assert not torch.allclose(one["0.weight"], other["0.weight"], rtol=1e-6)


def test_in_weight_space_both_are_the_same_bits():
    weights = draw(TINY)
    one, other = (train(WeightSpace(), Adam(), [cls(strength=0.1)], weights) for cls in (L2Weights, L2Coords))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("penalty", [L2Weights, L2Coords])
@pytest.mark.parametrize("space", SPACES)
def test_strength_zero_is_no_penalty(space, penalty):
    """Bit for bit where the gradient is written out anyway; to round-off in plain SGD."""
    weights = draw(TINY)
    written, without = (train(space, Adam(), p, weights) for p in ([penalty(strength=0.0)], []))
    assert all(torch.equal(written[name], without[name]) for name in weights)
    written, without = (train(space, SGD(), p, weights) for p in ([penalty(strength=0.0)], []))
    assert_close(written, without)


@pytest.mark.parametrize("penalty", [L2Weights, L2Coords])
@pytest.mark.parametrize("space", [WeightSpace(), GSpace(), FixedWeightSpace()])
def test_a_grid_of_strengths_equals_each_alone(space, penalty):
    weights = draw(TINY)
    together = train(space, Adam(), [penalty(strength=STRENGTHS)], weights)
    for i, strength in enumerate(STRENGTHS.tolist()):
        one = {name: w[i : i + 1] for name, w in weights.items()}
        alone = train(space, Adam(), [penalty(strength=strength)], one, lrs=LRS[i : i + 1])
        assert_close(member(together, i), member(alone, 0))


@pytest.mark.parametrize("optimizer", [SGD(), Adam()], ids=["sgd", "adam"])
@pytest.mark.parametrize("space", SPACES)
def test_what_is_fixed_stays_fixed_bit_for_bit(space, optimizer):
    penalties = [L2Weights(strength=0.3), L2Coords(strength=0.2)]
    weights = draw(TINY)
    chart = space.chart(TINY.graph, weights)
    moved, started = train(space, optimizer, penalties, weights), chart.start()
    for name, mask in chart.fixed().items():
        mask = mask.expand_as(moved[name])
        assert torch.equal(moved[name][mask], started[name][mask])
    assert not torch.equal(moved["0.weight"], started["0.weight"])


NETWORK = mlp((12, 16, 16, 20, 8, 5), bias=True)


@pytest.mark.parametrize(
    ("optimizer", "dtype"), [(SGD(), torch.float32), (AdamW(), torch.float64)], ids=["sgd-float32", "adamw-float64"]
)
class TestBits:
    """A rescaling by powers of two, once or before every step, against none."""

    def outputs(self, space, penalty, optimizer, dtype):
        weights, (images, _) = draw(NETWORK, 2, dtype), batch(NETWORK, 32, dtype)
        generator = torch.Generator().manual_seed(5)
        scales = random_scales(NETWORK.graph, sigma=2.0, powers_of_two=True, generator=generator, dtype=dtype)
        starts = ((weights, False), (rescale(NETWORK.graph, weights, scales), False), (weights, True))
        options = {"lrs": [1e-3, 1e-4], "steps": 10, "network": NETWORK, "dtype": dtype}
        found = [train(space, optimizer, [penalty], w, every, **options) for w, every in starts]
        return [NETWORK.forward(w, images) for w in found]

    @pytest.mark.parametrize("name", INVARIANT)
    def test_l2_on_coordinates_is_invariant(self, name, optimizer, dtype):
        plain, once, every = self.outputs(INVARIANT[name], L2Coords(strength=0.1), optimizer, dtype)
        assert plain.isfinite().all()
        assert torch.equal(plain, once)
        assert torch.equal(plain, every)

    @pytest.mark.parametrize("penalty", [L2Weights(strength=0.1), L2Coords(strength=0.1)], ids=["weights", "coords"])
    def test_neither_is_in_weight_space(self, penalty, optimizer, dtype):
        plain, once, every = self.outputs(WeightSpace(), penalty, optimizer, dtype)
        assert not torch.allclose(plain, once, rtol=1e-3)
        assert not torch.allclose(plain, every, rtol=1e-3)


def test_the_value_itself_is_invariant_or_not():
    weights = draw(TINY)
    scales = random_scales(TINY.graph, sigma=2.0, powers_of_two=True, generator=torch.Generator().manual_seed(5))
    both = (weights, rescale(TINY.graph, weights, scales))
    for name, space in INVARIANT.items():
        charts = [space.chart(TINY.graph, w) for w in both]
        one, other = (attach([L2Coords()], c, c.start())[0].value(c.origin) for c in charts)
        assert torch.equal(one, other), name
    one, other = (attach([L2Weights()], WeightSpace().chart(TINY.graph, w), w)[0].value(w) for w in both)
    assert not torch.allclose(one, other, rtol=1e-2)


@pytest.fixture(scope="module")
def data():
    return load_dataset("digits").to("cpu", torch.float64)


def cell(data, penalties, space=OTHERS["gspace-overwrite"]):
    network = mlp((data.features, 8, 9, data.classes), bias=True)
    axes = {"optimizer.lr": (0.01, 0.003)}
    return Cell(network, data, space, SGD(), axes, [0, 1], batch_size=200, penalties=penalties)


def test_columns_are_the_values_after_the_epoch(data):
    made = cell(data, {"weights": L2Weights(strength=0.2), "coords": L2Coords(strength=0.4)})
    stack = Stack(made, made.members)
    assert stack.columns == ("weights_penalty", "coords_penalty")
    for epoch in (0, 1):
        probed = stack.result(stack.train_epoch(epoch) if epoch else None).probed
        coords = stack.chart.to_coords(stack.weights)
        for column, tensors, half in (("weights_penalty", stack.weights, 0.1), ("coords_penalty", coords, 0.2)):
            norms = sum(t.flatten(1).square().sum(1) for t in tensors.values())
            torch.testing.assert_close(probed[column], norms * half)


def test_the_gradient_is_written_out_only_where_there_is_a_penalty(data, monkeypatch):
    """Plain SGD without penalties keeps its fused step."""
    calls = []
    descend_ = WeightChart.descend_
    monkeypatch.setattr(WeightChart, "descend_", lambda *args: (calls.append(1), descend_(*args))[1])
    for penalties, expected in (({}, 8), ({"l2": L2Weights()}, 0)):
        calls.clear()
        made = cell(data, penalties, WeightSpace())
        Stack(made, made.members).train_epoch(1)
        assert len(calls) == expected


class NoCoordinates(WeightChart):
    def to_coords(self, weights):
        raise NotImplementedError


@dataclass(frozen=True)
class Uncharted(WeightSpace):
    def chart(self, graph, weights):
        return NoCoordinates(graph, weights)


def test_what_a_space_cannot_have_is_refused_before_anything_is_made(tmp_path):
    space = f"space.name={__name__}:Uncharted"
    config = compose([space, "penalties=[l2_coords]", f"results={tmp_path / 'none'}"])
    with pytest.raises(ConfigError, match="'l2_coords' needs a space that can compute its coordinates"):
        run(config)
    assert not (tmp_path / "none").exists()
    run(compose([space, "penalties=[l2_weights]", "epochs=0", "progress=false", f"results={tmp_path}"]))


def test_a_value_that_is_not_one_per_member_is_refused(data, monkeypatch):
    monkeypatch.setattr(FourthPowers, "value", lambda self, tensors: self.strength.sum())
    made = cell(data, {"l4": L4()})
    with pytest.raises(ValueError, match=r"penalty l4: the value must have shape \(4,\), one per member, got \(\)"):
        Stack(made, made.members)


@pytest.mark.parametrize("strength", [-1e-3, float("nan"), float("inf"), torch.tensor([1.0, -1.0])])
def test_impossible_strengths_are_refused(strength):
    with pytest.raises(ValueError, match="finite and at least 0"):
        L2Weights(strength=strength)


def test_strengths_are_an_axis_of_the_records(tmp_path):
    """However the grid is cut, and beside a run with one of its strengths, whose members are the same."""
    base = ["space=cycle", "optimizer=adam", "epochs=1", "network.hidden=[8,8]", "progress=false", "dtype=float64"]
    tables = []
    for strengths, chunk in (("[0,0.1,3]", 6), ("[0,0.1,3]", 1), ("0.1", 2)):
        given = f"penalties=[l2_weights,{{name: l2_coords, strength: {strengths}}}]"
        config = compose([*base, "seeds=2", given, f"chunk={chunk}", f"results={tmp_path / str(len(tables))}"])
        run(config)
        tables.append(load_records(config.folder))
    whole, cut, alone = tables
    strength, measured = "penalties.l2_coords.strength", ["train_loss", "l2_weights_penalty", "l2_coords_penalty"]
    assert sorted(set(whole[strength])) == [0.0, 0.1, 3.0]
    np.testing.assert_allclose(cut[measured], whole[measured], rtol=1e-9)
    np.testing.assert_allclose(alone[measured], whole.loc[whole[strength] == 0.1, measured], rtol=1e-9)
    assert (whole.loc[whole[strength] == 0, "l2_coords_penalty"] == 0).all()
