"""Promise: every optimizer is its namesake of torch.optim, with one learning rate a member."""

import pytest
import torch
from conftest import TINY, assert_close, batch, draw, member, point, stacked_gradients

from scaleinv.optim import SGD, Adam, AdamW, RMSprop
from scaleinv.spaces import CycleSpace, FixedWeightSpace, GSpace, WeightSpace

LRS = [0.1, 0.01, 0.001]
CASES = [
    pytest.param(SGD(), torch.optim.SGD, {}, id="sgd"),
    pytest.param(SGD(momentum=0.9), torch.optim.SGD, {"momentum": 0.9}, id="momentum"),
    pytest.param(
        SGD(momentum=0.9, nesterov=True, weight_decay=0.01),
        torch.optim.SGD,
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
        id="nesterov",
    ),
    pytest.param(Adam(), torch.optim.Adam, {}, id="adam"),
    pytest.param(
        Adam(beta1=0.8, beta2=0.9, eps=1e-3, weight_decay=0.1),
        torch.optim.Adam,
        {"betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1},
        id="adam-options",
    ),
    pytest.param(AdamW(weight_decay=0.1), torch.optim.AdamW, {"weight_decay": 0.1}, id="adamw"),
    pytest.param(RMSprop(), torch.optim.RMSprop, {}, id="rmsprop"),
    pytest.param(
        RMSprop(alpha=0.9, momentum=0.5, weight_decay=0.1),
        torch.optim.RMSprop,
        {"alpha": 0.9, "momentum": 0.5, "weight_decay": 0.1},
        id="rmsprop-options",
    ),
]


def train(optimizer, space, weights, lrs, steps=25, dtype=torch.float64):
    chart = space.chart(TINY.graph, weights)
    weights = chart.start()
    rule = optimizer.transformation()
    state = rule.init(weights)
    for k in range(steps):
        images, labels = batch(TINY, dtype=dtype, seed=k)
        grads = stacked_gradients(TINY, weights, images, labels)
        frame = chart.begin(weights)
        direction, state = rule.update(chart.pullback_(frame, grads), state, point(chart, weights))
        chart.retract_(frame, direction, -torch.tensor(lrs, dtype=dtype))
        yield weights


def train_torch(make, weights, memory=True, steps=25):
    parameters = {name: w.clone().requires_grad_() for name, w in weights.items()}
    optimizer = make(list(parameters.values()))
    for k in range(steps):
        images, labels = batch(TINY, seed=k)
        loss = torch.nn.functional.cross_entropy(TINY.forward(parameters, images), labels)
        if not memory:
            optimizer = make(list(parameters.values()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield {name: p.detach() for name, p in parameters.items()}


@pytest.mark.parametrize(("ours", "theirs", "options"), CASES)
@pytest.mark.parametrize("memory", [True, False], ids=["memory", "no-memory"])
def test_equals_torch_at_every_step(ours, theirs, options, memory):
    ours = type(ours)(**{**vars(ours), "memory": memory})
    weights = draw(TINY)
    stacks = train(ours, WeightSpace(), weights, LRS)
    alone = [
        train_torch(lambda p, lr=lr: theirs(p, lr=lr, **options), member(weights, i), memory)
        for i, lr in enumerate(LRS)
    ]
    for stack, *singles in zip(stacks, *alone, strict=True):
        for i, single in enumerate(singles):
            assert_close(member(stack, i), single, rtol=1e-8)


@pytest.mark.parametrize(("ours", "theirs", "options"), CASES)
@pytest.mark.parametrize("space", [WeightSpace(), GSpace(), FixedWeightSpace(), CycleSpace()])
def test_a_grid_of_lrs_equals_each_lr_alone(ours, theirs, options, space):
    weights = draw(TINY)
    lrs = [0.01, 0.001, 0.0001]
    *_, together = train(ours, space, weights, lrs)
    for i, lr in enumerate(lrs):
        *_, alone = train(ours, space, {n: w[i : i + 1] for n, w in weights.items()}, [lr])
        assert_close(member(together, i), member(alone, 0), rtol=1e-8)


@pytest.mark.parametrize(("ours", "theirs", "options"), CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("space", [GSpace(), FixedWeightSpace(value=0.7), FixedWeightSpace(fix="keep"), CycleSpace()])
def test_what_is_fixed_stays_fixed_bit_for_bit(ours, theirs, options, space, dtype):
    """Also under momentum and weight decay."""
    weights = draw(TINY, dtype=dtype)
    chart = space.chart(TINY.graph, weights)
    started = chart.to_weights(chart.origin)
    masks = chart.fixed()
    assert sum(int(mask.sum()) for mask in masks.values()) >= TINY.graph.hidden
    for moved in train(ours, space, weights, [0.01] * 3, dtype=dtype):
        for name, mask in masks.items():
            mask = mask.expand_as(moved[name])
            assert torch.equal(moved[name][mask], started[name][mask])
            assert not torch.equal(moved[name][~mask], started[name][~mask])


def test_forgetful_adam_is_sign_descent():
    """A new Adam every step divides the gradient by its own size (maths.md, 5.2.1)."""
    rule = Adam(memory=False).transformation()
    grads = {"w": torch.tensor([[3.0, -1e-3, 0.0]], dtype=torch.float64)}
    state = rule.init(grads)
    for _ in range(3):
        direction, state = rule.update({"w": grads["w"].clone()}, state, point(None, grads))
        torch.testing.assert_close(direction["w"], torch.tensor([[1.0, -1.0, 0.0]]).double(), rtol=1e-4, atol=0)


def test_nesterov_needs_momentum():
    with pytest.raises(ValueError, match="momentum greater than 0"):
        SGD(nesterov=True)
