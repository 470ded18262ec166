"""Promise: every loss is its namesake of torch.nn.functional, in stacks, and training minimises it."""

from functools import partial

import numpy as np
import pytest
import torch
from conftest import TINY, assert_close, draw
from torch.nn import functional

from scaleinv.losses import CrossEntropy, LabelSmoothing, Loss, MeanSquaredError
from scaleinv.networks.mlp import mlp
from scaleinv.optim import SGD
from scaleinv.reference import train_serial
from scaleinv.runs.datasets import load_dataset
from scaleinv.runs.registry import find, names
from scaleinv.spaces import GSpace
from scaleinv.training.autograd import AutogradEngine
from scaleinv.training.cell import Cell
from scaleinv.training.chain import ChainEngine
from scaleinv.training.stack import Stack
from scaleinv.wrappers import SpaceOptimizer


def squared(outputs, labels, reduction="mean"):
    wanted = functional.one_hot(labels, outputs.shape[-1]).to(outputs)
    found = functional.mse_loss(outputs, wanted, reduction=reduction)
    return found.mean(-1) if reduction == "none" else found


CASES = [
    pytest.param(CrossEntropy(), functional.cross_entropy, id="cross_entropy"),
    pytest.param(LabelSmoothing(), partial(functional.cross_entropy, label_smoothing=0.1), id="smoothing"),
    pytest.param(LabelSmoothing(smoothing=0.7), partial(functional.cross_entropy, label_smoothing=0.7), id="smoother"),
    pytest.param(MeanSquaredError(), squared, id="mean_squared_error"),
]
GROUPS, SHARED, IMAGES = 2, 3, 7


def test_every_loss_is_in_the_table():
    registered = {find("scaleinv.losses", name, Loss) for name in names("scaleinv.losses")}
    assert registered == {type(case.values[0]) for case in CASES}


@pytest.mark.parametrize("engine", [ChainEngine(TINY), AutogradEngine(TINY, {})], ids=["closed form", "autograd"])
@pytest.mark.parametrize(("loss", "theirs"), CASES)
def test_gradients_and_scores_of_a_stack(loss, theirs, engine):
    generator = torch.Generator().manual_seed(0)
    weights = draw(TINY, GROUPS * SHARED)
    images = torch.randn(GROUPS, IMAGES, TINY.features, generator=generator, dtype=torch.float64)
    labels = torch.randint(TINY.outputs, (GROUPS, IMAGES), generator=generator)
    logits, gradient = engine.gradient(weights, images, loss.targets(labels, TINY.outputs, torch.float64), loss)
    found, scored = gradient.whole(weights), loss.score(logits, labels)
    for i in range(GROUPS * SHARED):
        group = i // SHARED
        leaves = {name: w[i].clone().requires_grad_() for name, w in weights.items()}
        outputs = TINY.forward(leaves, images[group])
        wanted = torch.autograd.grad(theirs(outputs, labels[group]), list(leaves.values()))
        assert_close({name: g[i] for name, g in found.items()}, dict(zip(leaves, wanted, strict=True)))
        torch.testing.assert_close(scored.loss[i], theirs(outputs, labels[group], reduction="none").detach())
        assert torch.equal(scored.correct[i], outputs.argmax(1) == labels[group])


@pytest.mark.parametrize("engine", [ChainEngine(TINY), AutogradEngine(TINY, {})], ids=["closed form", "autograd"])
def test_a_smoothing_per_member_is_each_member_alone(engine):
    generator = torch.Generator().manual_seed(0)
    weights, smoothings = draw(TINY, GROUPS * SHARED), torch.arange(GROUPS * SHARED, dtype=torch.float64) / 7
    images = torch.randn(GROUPS, IMAGES, TINY.features, generator=generator, dtype=torch.float64)
    labels = torch.randint(TINY.outputs, (GROUPS, IMAGES), generator=generator)
    loss = LabelSmoothing(smoothing=smoothings)
    logits, gradient = engine.gradient(weights, images, loss.targets(labels, TINY.outputs, torch.float64), loss)
    found, scored = gradient.whole(weights), loss.score(logits, labels)
    for i, smoothing in enumerate(smoothings.tolist()):
        group, own = slice(i // SHARED, i // SHARED + 1), LabelSmoothing(smoothing=smoothing)
        one = {name: w[i : i + 1] for name, w in weights.items()}
        targets = own.targets(labels[group], TINY.outputs, torch.float64)
        outputs, wanted = engine.gradient(one, images[group], targets, own)
        assert_close({name: g[i : i + 1] for name, g in found.items()}, wanted.whole(one))
        torch.testing.assert_close(scored.loss[i], own.score(outputs, labels[group]).loss[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_smoothing_it_is_cross_entropy_bit_for_bit(dtype):
    generator = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn(6, 5, 40, generator=generator, dtype=dtype)
    labels = torch.randint(5, (2, 40), generator=generator)
    one, other = CrossEntropy(), LabelSmoothing(smoothing=0.0)
    deltas = [loss.delta_(logits, loss.targets(labels, 5, dtype), torch.empty_like(logits)) for loss in (one, other)]
    assert torch.equal(*deltas)
    assert torch.equal(one.score(logits, labels).loss, other.score(logits, labels).loss)


@pytest.mark.parametrize(("loss", "theirs"), CASES)
def test_training_is_serial_training_with_the_same_loss(loss, theirs):
    """Train and validation loss are both the loss that is trained."""
    data = load_dataset("digits").to("cpu", torch.float64)
    network = mlp((data.features, 8, 9, data.classes), bias=True)
    axes = {"optimizer.lr": (0.01, 0.003)}
    cell = Cell(network, data, GSpace(), SGD(momentum=0.5), axes, [0, 1], batch_size=200, loss=loss)
    stack = Stack(cell, cell.members)
    results = [stack.result(stack.train_epoch(epoch)) for epoch in (1, 2)]
    for i, member in enumerate(cell.members):
        make = partial(
            SpaceOptimizer,
            space=cell.space,
            optimizer_class=torch.optim.SGD,
            lr=member.at["optimizer.lr"],
            momentum=0.5,
        )
        rows = train_serial(network, data, member.seed, make, 2, 200, loss=theirs)
        for name in rows[0]:
            ours = [getattr(result, name)[i].item() for result in results]
            np.testing.assert_allclose(ours, [row[name] for row in rows], rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_impossible_smoothing_is_refused(smoothing):
    with pytest.raises(ValueError, match="at least 0 and less than 1"):
        LabelSmoothing(smoothing=smoothing)
