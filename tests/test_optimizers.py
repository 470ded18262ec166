"""Promise: every optimizer is its namesake of torch.optim, with one learning rate a member."""

from dataclasses import dataclass, fields
from typing import get_type_hints

import pytest
import torch
from conftest import TINY, assert_close, batch, draw, member, point, stacked_gradients

from scaleinv.optim import IDENTITY, SGD, Adam, AdamW, GradientTransformation, Optimizer, RMSprop
from scaleinv.optim.adagrad import AdaGrad
from scaleinv.optim.base import kept
from scaleinv.optim.sam import SAM
from scaleinv.runs.registry import find, names
from scaleinv.spaces import CycleSpace, FixedWeightSpace, GSpace, ParameterSpace, WeightSpace, _foreach
from scaleinv.symmetry.members import PerMember
from scaleinv.training.stack import flatten

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
        AdaGrad(eps=1e-3, weight_decay=0.1), torch.optim.Adagrad, {"eps": 1e-3, "weight_decay": 0.1}, id="adagrad"
    ),
    pytest.param(
        RMSprop(alpha=0.9, momentum=0.5, weight_decay=0.1),
        torch.optim.RMSprop,
        {"alpha": 0.9, "momentum": 0.5, "weight_decay": 0.1},
        id="rmsprop-options",
    ),
]

RULES = [pytest.param(case.values[0], id=case.id) for case in CASES]


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


@pytest.mark.parametrize("ours", RULES)
def test_a_grid_of_lrs_equals_each_lr_alone(ours):
    """In one space; that a chart treats members alike is a law of the spaces."""
    weights = draw(TINY)
    lrs = [0.01, 0.001, 0.0001]
    *_, together = train(ours, GSpace(), weights, lrs)
    for i, lr in enumerate(lrs):
        *_, alone = train(ours, GSpace(), {n: w[i : i + 1] for n, w in weights.items()}, [lr])
        assert_close(member(together, i), member(alone, 0), rtol=1e-8)


@pytest.mark.parametrize("ours", RULES)
@pytest.mark.parametrize("space", [GSpace(), FixedWeightSpace(value=0.7), FixedWeightSpace(fix="keep"), CycleSpace()])
def test_what_is_fixed_stays_fixed_bit_for_bit(ours, space):
    """Also under momentum and weight decay."""
    for dtype in (torch.float32, torch.float64):
        weights = draw(TINY, dtype=dtype)
        chart = space.chart(TINY.graph, weights)
        started = chart.to_weights(chart.origin)
        masks = chart.fixed()
        assert sum(int(mask.sum()) for mask in masks.values()) >= TINY.graph.hidden
        for moved in train(ours, space, weights, [0.01] * 3, steps=5, dtype=dtype):
            for name, mask in masks.items():
                mask = mask.expand_as(moved[name])
                assert torch.equal(moved[name][mask], started[name][mask])
                assert not torch.equal(moved[name][~mask], started[name][~mask])


def naive_momentum(kind):
    """Momentum as other libraries write it: what it returns is new, or the state itself."""

    def update(grads, state, point):
        if kind == "in place":
            for name, b in state["b"].items():
                b.mul_(0.9).add_(grads[name])
            return state["b"], state
        new = {name: 0.9 * b + grads[name] for name, b in state["b"].items()}
        if kind == "new dict":
            return new, {"b": new, "last": dict(grads)}
        state["b"] = new
        for name, g in grads.items():
            state["last"][name] = g
        return dict(new), state

    zeros = lambda coords: {name: torch.zeros_like(c) for name, c in coords.items()}  # noqa: E731
    return GradientTransformation(lambda coords: {"b": zeros(coords), "last": zeros(coords)}, update)


@dataclass(frozen=True, kw_only=True)
class Naive(Optimizer):
    kind: str

    def rule(self):
        return naive_momentum(self.kind)


@pytest.mark.parametrize("space", [find("scaleinv.spaces", n, ParameterSpace)() for n in names("scaleinv.spaces")])
@pytest.mark.parametrize("kind", ["new dict", "new tensors"])
def test_a_rule_that_returns_new_tensors_gives_right_numbers(space, kind):
    """In a stack too, whose checkpoints hold the tensors of the start."""
    weights = draw(TINY)
    ours, naive = (train(o, space, weights, LRS) for o in (SGD(momentum=0.9), Naive(kind=kind)))
    for one, other in zip(ours, naive, strict=True):
        assert_close(other, one, rtol=1e-9)
    chart = space.chart(TINY.graph, weights)
    rule = Naive(kind=kind).transformation()
    state = rule.init(chart.start())
    kept = dict(state["b"])
    grads = {name: torch.ones_like(w) for name, w in weights.items()}
    for _ in range(3):
        _, state = rule.update({n: g.clone() for n, g in grads.items()}, state, point(chart, weights))
    assert all(state["b"][name] is b for name, b in kept.items())
    assert all((state["b"][name] == 2.71).all() for name in kept)
    assert all((state["last"][name] == 1).all() for name in kept)


@pytest.mark.parametrize("space", [GSpace(), WeightSpace(), FixedWeightSpace(), CycleSpace()])
def test_a_direction_that_is_the_state_is_refused(space):
    with pytest.raises(ValueError, match=r"Naive: the direction of 0.weight shares memory with the state b/0.weight"):
        next(train(Naive(kind="in place"), space, draw(TINY), LRS))


@pytest.mark.parametrize(
    ("update", "words"),
    [
        (lambda g, s, p: (g, {}), r"the state has \['b'\], an update returned \[\]"),
        (lambda g, s, p: (g, {"b": s["b"][:1]}), r"state b has shape \(2,\), an update returned \(1,\)"),
        (lambda g, s, p: ({}, s), "names and shapes of the gradients"),
        (lambda g, s, p: (dict(p.weights), s), "shares memory with the weights w"),
    ],
)
def test_what_cannot_be_mended_is_refused(update, words):
    weights = {"w": torch.ones(2)}
    rule = kept(GradientTransformation(lambda c: {"b": torch.zeros(2)}, update), "mine")
    with pytest.raises(ValueError, match=f"mine: .*{words}"):
        rule.update({"w": torch.ones(2)}, rule.init(weights), point(None, weights))
    with pytest.raises(ValueError, match="state step must be a tensor, got int"):
        kept(GradientTransformation(lambda c: {"step": 0}, update), "mine").init(weights)


def test_a_state_is_no_weight_and_no_other_state():
    rule = kept(GradientTransformation(lambda c: {"a": c, "b": dict(c)}, lambda g, s, p: (g, s)), "mine")
    weights = {"w": torch.ones(2)}
    state = rule.init(weights)
    assert len({t.data_ptr() for t in (weights["w"], state["a"]["w"], state["b"]["w"])}) == 3


def test_parts_of_a_state_may_change_places():
    rule = kept(
        GradientTransformation(
            lambda c: {"now": torch.zeros(1), "before": torch.ones(1)},
            lambda g, s, p: (g, {"now": s["before"], "before": s["now"]}),
        ),
        "mine",
    )
    _, state = rule.update({}, rule.init({}), point(None, {}))
    assert (state["now"], state["before"]) == (1, 0)


OPTIMIZERS = [find("scaleinv.optim", name, Optimizer)() for name in names("scaleinv.optim")]


def test_every_optimizer_is_compared_with_torch():
    """Those that PyTorch does not have are compared with their definitions, in test_path_optimizers.py, test_sam.py."""
    assert {type(o) for o in OPTIMIZERS if not o.is_equivariant} - {SAM} == {type(case.values[0]) for case in CASES}


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=names("scaleinv.optim"))
def test_every_optimizer_works_in_place(optimizer):
    """Under its own rule, without the help of :func:`kept`; the direction is its own memory."""
    weights = draw(TINY)
    rule = optimizer.rule()
    if optimizer == SGD():
        assert rule is IDENTITY is optimizer.transformation()
        return
    state = rule.init(weights)
    before = {path: leaf.data_ptr() for path, leaf in flatten(state, "").items()}
    for _ in range(2):
        grads = {name: torch.ones_like(w) for name, w in weights.items()}
        direction, state = rule.update(grads, state, point(WeightSpace().chart(TINY.graph, weights), weights))
        assert {path: leaf.data_ptr() for path, leaf in flatten(state, "").items()} == before
        assert not {d.data_ptr() for d in direction.values()} & set(before.values())


@pytest.mark.parametrize("optimizer", RULES)
def test_plain_loops_do_what_private_kernels_do(optimizer, monkeypatch):
    wanted = list(map(copy_of, train(optimizer, GSpace(), draw(TINY), LRS, steps=5)))
    monkeypatch.setattr(_foreach, "has", lambda kernel: False)
    for one, other in zip(train(optimizer, GSpace(), draw(TINY), LRS, steps=5), wanted, strict=True):
        assert_close(one, other, rtol=1e-10)


def copy_of(weights):
    return {name: w.clone() for name, w in weights.items()}


def test_a_point_has_its_coordinates_on_demand():
    chart = GSpace().chart(TINY.graph, draw(TINY))
    here = point(chart, chart.start())
    assert_close(here.coords(), chart.origin)
    assert here.coords() is here.coords()


NUMBERS = {"weight_decay": [0.0, 0.1, 0.02], "momentum": [0.0, 0.9, 0.5], "beta1": [0.0, 0.9, 0.5]}
NUMBERS |= {"beta2": [0.9, 0.999, 0.5], "alpha": [0.9, 0.99, 0.5], "eps": [1e-8, 1e-3, 0.1]}
NUMBERS |= {"damping": [0.5, 0.1, 1.0], "rho": [0.0, 0.05, 0.5], "eta": [0.01, 0.1, 1.0], "clip": [0.0, 0.01, 0.2]}
PER_MEMBER = [
    pytest.param(cls, field.name, id=f"{name}-{field.name}")
    for name in names("scaleinv.optim")
    for cls in [find("scaleinv.optim", name, Optimizer)]
    for field in fields(cls)
    if get_type_hints(cls)[field.name] == PerMember and (cls, field.name) != (SAM, "clip")
]


@pytest.mark.parametrize(("cls", "option"), PER_MEMBER)
@pytest.mark.parametrize("space", [WeightSpace(), FixedWeightSpace(value=0.7), GSpace()])
def test_options_per_member_equal_single_ones(cls, option, space):
    """For every optimizer there is, beside other options that are not zero; what is fixed stays fixed bit for bit."""
    numbers, lrs, weights = NUMBERS[option], [0.01, 0.001, 0.001], draw(TINY)
    others = {f.name: 0.5 for f in fields(cls) if f.name in ("momentum", "weight_decay")}
    stacked = cls(**{**others, option: torch.tensor(numbers, dtype=torch.float64)})
    chart = space.chart(TINY.graph, weights)
    *_, together = train(stacked, space, weights, lrs, steps=6)
    for i, (number, lr) in enumerate(zip(numbers, lrs, strict=True)):
        own = {name: w[i : i + 1] for name, w in weights.items()}
        *_, alone = train(cls(**{**others, option: number}), space, own, [lr], steps=6)
        assert_close(member(together, i), member(alone, 0), rtol=1e-12)
        for name, mask in chart.fixed().items():
            assert torch.equal(together[name][i][mask], chart.weights[name][i][mask])


def test_nesterov_per_member_equals_single_ones():
    weights, decays = draw(TINY), [0.3, 0.9, 0.5]
    stacked = SGD(momentum=torch.tensor(decays, dtype=torch.float64), nesterov=True)
    *_, together = train(stacked, GSpace(), weights, LRS)
    for i, decay in enumerate(decays):
        own = {name: w[i : i + 1] for name, w in weights.items()}
        *_, alone = train(SGD(momentum=decay, nesterov=True), GSpace(), own, LRS[i : i + 1])
        assert_close(member(together, i), member(alone, 0), rtol=1e-12)


def test_forgetful_adam_is_sign_descent():
    """A new Adam every step divides the gradient by its own size (maths.md, 5.2.1)."""
    rule = Adam(memory=False).transformation()
    grads = {"w": torch.tensor([[3.0, -1e-3, 0.0]], dtype=torch.float64)}
    state = rule.init(grads)
    for _ in range(3):
        direction, state = rule.update({"w": grads["w"].clone()}, state, point(None, grads))
        torch.testing.assert_close(direction["w"], torch.tensor([[1.0, -1.0, 0.0]]).double(), rtol=1e-4, atol=0)


def test_nesterov_needs_momentum():
    for momentum in (0.0, torch.tensor([0.9, 0.0])):
        with pytest.raises(ValueError, match="momentum greater than 0"):
            SGD(momentum=momentum, nesterov=True)
