"""Promise: checkpoints push away by the exact gradient of a kernel, in weights or where rescaling is no way out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TINY, draw, member

from scaleinv.minima.rulers import InBalancedGauge, InCycles, InFunctions, InWeights
from scaleinv.networks.mlp import mlp
from scaleinv.optim import SGD, AdamW
from scaleinv.penalties import RepulsionBalanced, RepulsionCycle, RepulsionFunction, RepulsionWeights
from scaleinv.probes.base import Scene
from scaleinv.runs.config import compose
from scaleinv.runs.datasets import load_dataset
from scaleinv.runs.errors import ConfigError, UserError
from scaleinv.runs.records import load_records
from scaleinv.runs.run import run
from scaleinv.spaces import CycleSpace, WeightSpace
from scaleinv.symmetry.group import random_scales, rescale
from scaleinv.training.cell import Cell
from scaleinv.training.stack import Stack

KERNELS = [RepulsionWeights, RepulsionBalanced, RepulsionCycle]
STRENGTHS, WIDTHS = (torch.tensor(v, dtype=torch.float64) for v in ([0.5, 2.0, 0.0], [1.0, 0.3, 2.0]))


def hills(penalty, weights, network=TINY):
    dtype = next(iter(weights.values())).dtype
    data = load_dataset("digits").to("cpu", dtype) if isinstance(penalty, RepulsionFunction) else None
    return penalty.attach(Scene(network, WeightSpace().chart(network.graph, weights), data, (), weights, None))


def gradient(term, weights):
    grads = {name: torch.zeros_like(w) for name, w in weights.items()}
    term.add_gradient_(weights, grads)
    return grads


def direction(seed=3):
    """A unit vector per member."""
    generator = torch.Generator().manual_seed(seed)
    step = {n: torch.randn(w.shape, generator=generator, dtype=torch.float64) for n, w in draw(TINY).items()}
    norm = sum(s.flatten(1).square().sum(1) for s in step.values()).sqrt()
    return {n: s / norm.view(-1, *[1] * (s.dim() - 1)) for n, s in step.items()}


@pytest.mark.parametrize("far", [0, 1, 10])
def test_kernel_by_its_formula(far):
    """Value and gradient at the checkpoint, at one width and at ten, for a stack of strengths and widths."""
    weights, step = draw(TINY), direction()
    term = hills(RepulsionWeights(strength=STRENGTHS, width=WIDTHS, checkpoints=[0]), weights)
    moved = {n: w + (far * WIDTHS).view(-1, *[1] * (w.dim() - 1)) * step[n] for n, w in weights.items()}
    height = STRENGTHS * np.exp(-(far**2) / 2)
    torch.testing.assert_close(term.value(moved), height)
    found = gradient(term, moved)
    for name, g in found.items():
        size = (-height * far / WIDTHS).view(-1, *[1] * (g.dim() - 1))
        torch.testing.assert_close(g, size * step[name], atol=1e-14, rtol=1e-9)
        if far == 0:
            assert not g.any()


@pytest.mark.parametrize("cls", [RepulsionBalanced, RepulsionCycle])
def test_gradient_in_a_gauge_is_the_derivative(cls):
    weights, step = draw(TINY), direction()
    term = hills(cls(strength=STRENGTHS, width=WIDTHS, checkpoints=[0]), weights)
    moved = {n: w + 0.4 * direction(4)[n] for n, w in weights.items()}
    assert not any(g.any() for g in gradient(term, weights).values())
    found = sum((g * step[n]).flatten(1).sum(1) for n, g in gradient(term, moved).items())
    up, down = (term.value({n: w + s * 1e-6 * step[n] for n, w in moved.items()}) for s in (1, -1))
    torch.testing.assert_close(found, (up - down) / 2e-6, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("cls", KERNELS)
def test_several_add_up_and_one_merged_is_one(cls):
    weights = draw(TINY)
    states = [{n: w + 0.3 * direction(seed)[n] for n, w in weights.items()} for seed in (5, 6)]
    options = {"strength": STRENGTHS, "width": WIDTHS}
    alone = [hills(cls(checkpoints=[1], **options), weights) for _ in states]
    both = hills(cls(checkpoints=[1, 2], **options), weights)
    merged = hills(cls(checkpoints=[1, 2], merged=True, **options), weights)
    assert not both.value(weights).any()  # none is made yet
    for one, state in zip(alone, states, strict=True):
        one.begin_epoch(2, state)
    for term in (both, merged):
        term.begin_epoch(2, states[0])
    assert torch.equal(merged.value(weights), alone[0].value(weights))
    for term in (both, merged):
        term.begin_epoch(3, states[1])
    torch.testing.assert_close(both.value(weights), alone[0].value(weights) + alone[1].value(weights))
    place = [one._ruler.place(state) for one, state in zip(alone, states, strict=True)]
    mean = {n: (p + place[1][n]) / 2 for n, p in place[0].items()}
    apart = merged._ruler.apart(merged._ruler.place(weights), mean)
    torch.testing.assert_close(merged.value(weights), STRENGTHS * torch.exp(-apart / (2 * WIDTHS**2)))


@pytest.mark.parametrize("cls", [RepulsionBalanced, RepulsionCycle, RepulsionFunction])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rescaling_is_no_way_out(cls, dtype):
    """Powers of two: the same bits, and a gradient that changes as that of the loss does. In weights it helps."""
    network = mlp((64, 6, 5, 10), bias=True)
    weights = draw(network, 2, dtype)
    generator = torch.Generator().manual_seed(5)
    scales = random_scales(network.graph, 2.0, True, generator, dtype)
    moved = rescale(network.graph, weights, scales)
    away = {n: w + 0.1 * torch.randn(w.shape, generator=generator).to(w) for n, w in weights.items()}
    away_moved = rescale(network.graph, away, scales)
    one, other = (hills(cls(checkpoints=[0]), w, network) for w in (weights, moved))
    assert torch.equal(one.value(away), other.value(away_moved))
    assert one.value(away).isfinite().all()
    back = rescale(network.graph, gradient(other, away_moved), scales)
    found = gradient(one, away)
    assert all(torch.equal(found[n], back[n]) for n in found)
    assert any(g.any() for g in found.values())
    in_weights = [
        hills(RepulsionWeights(checkpoints=[0], width=10.0), w, network).value(a)
        for w, a in ((weights, away), (moved, away_moved))
    ]
    assert not torch.allclose(*in_weights, rtol=1e-3)


@pytest.fixture(scope="module")
def data():
    whole = load_dataset("digits").to("cpu", torch.float64)
    few = torch.arange(300)
    return replace(whole, train=whole.train.part(few), val=whole.val.part(few))


def stack(data, space, penalties, axes=None, optimizer=None, seeds=(0,), epochs=3):
    network = mlp((data.features, 8, 7, data.classes), bias=True)
    made = Cell(
        network,
        data,
        space,
        optimizer or SGD(),
        {"optimizer.lr": (0.05,), **(axes or {})},
        seeds,
        batch_size=150,
        penalties=penalties,
        epochs=epochs,
    )
    trained = Stack(made, made.members)
    for epoch in range(1, epochs + 1):
        trained.train_epoch(epoch)
    return trained


@pytest.mark.parametrize("cls", KERNELS)
def test_an_axis_of_strengths_and_widths_equals_each_alone(data, cls):
    axes = {"penalties.push.strength": (0.1, 2.0), "penalties.push.width": (0.5, 1.0)}
    together = stack(data, WeightSpace(), {"push": cls(checkpoints=[1, 2])}, axes)
    assert not torch.allclose(*together.weights["0.weight"][:2])
    for i, one in enumerate(together.members):
        strength, width = (one.at[key] for key in axes)
        alone = stack(data, WeightSpace(), {"push": cls(checkpoints=[1, 2], strength=strength, width=width)})
        for name, w in alone.weights.items():
            torch.testing.assert_close(together.weights[name][i], w[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("cls", [*KERNELS, RepulsionFunction])
@pytest.mark.parametrize("optimizer", [SGD(), AdamW()], ids=["sgd", "adamw"])
def test_strength_zero_is_the_run_without_it_to_the_byte(data, cls, optimizer):
    """Plain SGD keeps its fused step; a strength of one does change the run."""
    plain = stack(data, WeightSpace(), {}, optimizer=optimizer)
    zero, one = (
        stack(data, WeightSpace(), {"push": cls(checkpoints=[1], strength=s)}, optimizer=optimizer) for s in (0.0, 1.0)
    )
    assert all(torch.equal(zero.weights[n], w) for n, w in plain.weights.items())
    assert not all(torch.equal(one.weights[n], w) for n, w in plain.weights.items())


@pytest.mark.parametrize("cls", [RepulsionBalanced, RepulsionFunction])
def test_training_in_an_invariant_space_stays_invariant(data, cls):
    network = mlp((data.features, 8, 7, data.classes), bias=True)
    ends = []
    for sigma in (0.0, 2.0):
        from scaleinv.starts.rescaled import RescaledStart

        made = Cell(
            network,
            data,
            CycleSpace(),
            SGD(),
            {"optimizer.lr": (0.05,)},
            [0],
            batch_size=150,
            epochs=2,
            penalties={"push": cls(checkpoints=[1])},
            start=RescaledStart(sigma=sigma, powers_of_two=True),
        )
        trained = Stack(made, made.members)
        for epoch in (1, 2):
            trained.train_epoch(epoch)
        ends.append(trained.weights)
    assert all(torch.equal(ends[0][n], w) for n, w in ends[1].items())


BASE = ["network.hidden=[8,8]", "batch_size=300", "progress=false", "optimizer.lr=[0.1,0.03]", "seeds=2"]


def test_checkpoints_of_another_run(tmp_path):
    """Named by folder and epoch: the weights that it kept for the same seed and learning rate."""
    base = [*BASE, f"results={tmp_path}"]
    first = compose([*base, "epochs=2", "keep=[1,2]"])
    run(first)
    inside = "penalties=[{name: repulsion_weights, checkpoints: [1], width: 0.5}]"
    named = f"penalties=[{{name: repulsion_weights, checkpoints: ['{first.run_id}@1'], width: 0.5}}]"
    second = compose([*base, "epochs=1", "start=default", named])
    run(second)
    start = load_records(second.folder).query("epoch == 0")["repulsion_weights_penalty"]
    from scaleinv import distance, load_model

    for i, value in enumerate(start):
        lr, seed = load_records(second.folder).query("epoch == 0").iloc[i][["lr", "seed"]]
        kept = load_model(first.folder, {"lr": lr, "seed": int(seed)}, kept=1)
        torch.manual_seed(0)
        begun = second.network.network((64,), 10).drawn(int(seed))
        assert value == pytest.approx(np.exp(-(distance(begun, kept, "none") ** 2) / 0.5), rel=1e-4)
    third = compose([*base, "epochs=2", inside])
    run(third)
    pushed = load_records(third.folder)
    assert (pushed.query("epoch < 2")["repulsion_weights_penalty"] == 0).all()
    assert (pushed.query("epoch == 2")["repulsion_weights_penalty"] > 0).all()
    for wrong, message in (
        (f"{first.run_id}@3", "the run kept 1, 2, not 3"),
        ("nowhere@1", "there is no finished run"),
    ):
        with pytest.raises(UserError, match=message):
            run(compose([*base, f"penalties=[{{name: repulsion_weights, checkpoints: ['{wrong}']}}]"]))
    with pytest.raises(ConfigError, match=r"of another network: 0\.weight has the shape"):
        run(compose([*base, named, "network.hidden=[9,8]"]))


def test_an_interrupted_run_keeps_its_checkpoints(data):
    whole = stack(data, WeightSpace(), {"push": RepulsionBalanced(checkpoints=[1])})
    network = whole.cell.network
    made = Cell(
        network,
        data,
        WeightSpace(),
        SGD(),
        {"optimizer.lr": (0.05,)},
        [0],
        batch_size=150,
        epochs=3,
        penalties={"push": RepulsionBalanced(checkpoints=[1])},
    )
    first, second = Stack(made, made.members), Stack(made, made.members)
    for epoch in (1, 2):
        first.train_epoch(epoch)
    second.load({n: t.clone() for n, t in first.tensors().items()})
    second.train_epoch(3)
    assert all(torch.equal(whole.weights[n], w) for n, w in second.weights.items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("width: 0.0", "width must be finite and greater than 0, got 0.0"),
        ("checkpoints: []", "checkpoints must name at least one"),
        ("checkpoints: [-1]", "made after 0 epochs or more, got -1"),
        ("checkpoints: [somewhere]", "written run@epoch, got 'somewhere'"),
        ("checkpoints: [5]", "a checkpoint after epoch 5 has no effect: the run has 5 epochs"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        run(compose([f"penalties=[{{name: repulsion_weights, {options}}}]", f"results={tmp_path / 'none'}"]))
    assert not (tmp_path / "none").exists()


def test_rulers_agree_where_they_must():
    """At the balanced starting network, weights, balanced gauge and cycle coordinates are the same place."""
    from scaleinv.symmetry.balance import balance

    weights = balance(TINY.graph, draw(TINY))
    rulers = InWeights(), InBalancedGauge(TINY.graph), InCycles.at(TINY.graph, weights)
    for ruler in rulers:
        for name, w in ruler.place(weights).items():
            torch.testing.assert_close(w, weights[name], rtol=1e-8, atol=1e-10)
    ruler = InFunctions(TINY, torch.randn(7, 5, dtype=torch.float64), {})
    assert not ruler.apart(ruler.place(weights), ruler.place(weights)).any()
    assert member(ruler.place(weights), 0)["probabilities"].shape == (7, 3)
