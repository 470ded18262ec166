"""Promise: clipping and accumulation do what their equations say, and nothing where they are neutral."""

import pandas as pd
import pytest
import torch
from conftest import TINY, assert_close, batch, draw, gradient, point
from small_networks import Described

from scaleinv.networks.mlp import mlp
from scaleinv.optim.base import IDENTITY, clipped
from scaleinv.optim.sam import SAM
from scaleinv.optim.sgd import SGD
from scaleinv.runs.config import compose
from scaleinv.runs.datasets import load_dataset
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.records import load_records
from scaleinv.runs.run import run
from scaleinv.spaces import CycleSpace, WeightSpace
from scaleinv.training.accumulation import AccumulatingEngine
from scaleinv.training.autograd import make_engine
from scaleinv.training.cell import Cell
from scaleinv.training.stack import Stack

DIGITS = load_dataset("digits").to("cpu", torch.float64)


def stack(optimizer, space=None, **options):
    """Train three members for an epoch, and return the stack."""
    axes = {"optimizer.lr": (0.5, 0.1, 0.01)}
    cell = Cell(mlp((64, 6, 10)), DIGITS, space or WeightSpace(), optimizer, axes, (0,), epochs=1, **options)
    trained = Stack(cell, cell.members)
    trained.train_epoch(1)
    return trained


def test_a_gradient_is_shortened_member_by_member():
    """As torch's clip_grad_norm_ of each member alone, for members with thresholds of their own."""
    grads = draw(TINY)
    clips = torch.tensor([0.0, 0.3, 1e9], dtype=torch.float64)
    moved, _ = clipped(clips).update({name: g.clone() for name, g in grads.items()}, {}, None)
    leaves = [torch.zeros_like(g[1]).requires_grad_() for g in grads.values()]
    for leaf, g in zip(leaves, grads.values(), strict=True):
        leaf.grad = g[1].clone()
    norm = torch.nn.utils.clip_grad_norm_(leaves, 0.3)
    assert norm > 1
    for (name, g), leaf in zip(moved.items(), leaves, strict=True):
        assert torch.equal(g[[0, 2]], grads[name][[0, 2]])
        torch.testing.assert_close(g[1], leaf.grad, rtol=2e-6, atol=0)  # torch adds 1e-6 to the norm
    one, _ = clipped(0.3).update({name: g.clone() for name, g in grads.items()}, {}, None)
    assert all(torch.equal(one[name][1], moved[name][1]) for name in one)


def test_a_gradient_that_is_not_finite_is_not_made_small():
    grads = {"w": torch.tensor([[1.0, float("inf")], [1e30, 1e30], [0.0, 0.0]])}
    moved, _ = clipped(1.0).update(grads, {}, None)
    assert moved["w"][0].isnan().all()
    torch.testing.assert_close(moved["w"][1], torch.tensor([0.5, 0.5]).sqrt())
    assert torch.equal(moved["w"][2], torch.zeros(2))


@pytest.mark.parametrize("space", [WeightSpace(), CycleSpace()], ids=["weight", "cycle"])
def test_a_huge_threshold_is_none_bit_for_bit(space):
    """Wherever a gradient is written out; plain SGD adds products to the weights, which rounds differently."""
    without, huge = stack(SGD(momentum=0.5), space), stack(SGD(momentum=0.5, clip=1e30), space)
    assert all(torch.equal(huge.weights[name], w) for name, w in without.weights.items())
    plain, huge = stack(SGD(), space), stack(SGD(clip=1e30), space)
    assert_close(huge.weights, plain.weights)
    small = stack(SGD(momentum=0.5, clip=1e-3), space)
    assert not any(torch.equal(small.weights[name], w) for name, w in without.weights.items())


def test_nothing_is_clipped_by_default():
    assert SGD().transformation() is IDENTITY
    chart = WeightSpace().chart(TINY.graph, draw(TINY))
    state = SGD(momentum=0.5).transformation().init(chart.start())
    assert set(state) == {"1"}  # the names in checkpoints of earlier versions
    grads, there = draw(TINY, seed=2), point(chart, chart.start())
    direction, _ = (
        SGD(clip=0.1).transformation().update({name: g.clone() for name, g in grads.items()}, {"0": {}}, there)
    )
    length = sum(d.flatten(1).square().sum(1) for d in direction.values()).sqrt()
    torch.testing.assert_close(length, torch.full_like(length, 0.1))


def test_clip_is_an_axis_and_its_neutral_value_no_part_of_the_identity():
    axes = compose(["optimizer.clip=[0,1]", "optimizer=adam"]).axes
    assert axes["optimizer.clip"] == (0.0, 1.0)
    plain = compose([])
    assert compose(["optimizer.clip=0", "accumulate=1"]).run_id == plain.run_id
    assert len({plain.run_id, compose(["optimizer.clip=1"]).run_id, compose(["accumulate=2"]).run_id}) == 3


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["optimizer.clip=-1"], "at least 0"),
        (["optimizer.clip=[1,-1]", "optimizer=adam"], "at least 0"),
        (["optimizer=sam", "optimizer.clip=1"], "finds the worst point"),
        (["accumulate=0"], "at least 1"),
        (["accumulate=65"], "cannot be cut"),
    ],
)
def test_what_cannot_work_is_refused(overrides, words):
    with pytest.raises(ConfigError, match=words):
        compose(overrides)
    assert SAM(clip=0.0).clip == 0


@pytest.mark.parametrize(("kind", "images"), [("chain", 3), ("chain", 8), ("residual", 3), ("pools", 3)])
def test_the_gradients_of_parts_add_up(kind, images):
    """To 1e-12 of the whole batch's: 8 images in parts of 3 (the last has 2), 4 or 8."""
    network = TINY if kind == "chain" else Described(kind).network
    weights, (inputs, labels) = draw(network), batch(network)
    make = lambda: make_engine(network, network.buffers(3, torch.float64))  # noqa: E731
    outputs, wanted = gradient(make(), weights, inputs, labels)
    parts = AccumulatingEngine(make(), images)
    for _ in range(2):  # sums begin anew
        parts.records = True
        found, accumulated = gradient(parts, weights, inputs, labels)
        torch.testing.assert_close(found, outputs, rtol=1e-12, atol=1e-13)
        assert_close(accumulated.whole(weights), wanted.whole(weights), rtol=1e-12)
    whole = make()
    whole.records = True
    gradient(whole, weights, inputs, labels)
    for of_parts, z in zip(parts.hidden(), whole.hidden(), strict=True):
        torch.testing.assert_close(of_parts, z, rtol=1e-12, atol=1e-13)


def test_an_epoch_in_parts_is_the_epoch():
    """With penalties, momentum and a last batch that is smaller; also where SAM takes a second gradient."""
    for optimizer in (SGD(momentum=0.5, clip=1.0), SAM()):
        assert_close(stack(optimizer, accumulate=3).weights, stack(optimizer).weights, rtol=1e-11)


def test_a_run_in_parts_measures_what_a_run_measures(tmp_path):
    """Also what a probe that tries steps sees; but batch norm sees the parts, so that there it is refused."""
    base = [f"results={tmp_path}", "progress=false", "probes=[temperature]"]
    small = [*base, "network.hidden=[4]", "epochs=1", "dtype=float64", "optimizer.clip=[0,1]"]
    tables = []
    for parts in (1, 4):
        config = compose([*small, f"accumulate={parts}"])
        run(config)
        tables.append(load_records(config.folder).drop(columns=["run", "configuration"]))
    assert len(tables[0]) == 4
    pd.testing.assert_frame_equal(*tables, rtol=1e-9)
    with pytest.raises(ConfigError, match="batch norm"):
        run(compose([*base, "network=cnn", "network.norm=true", "accumulate=4"]))
