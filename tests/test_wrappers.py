"""Promise: spaces work with a model and a loop of one's own, and equal the stacked program."""

import copy

import pytest
import torch
from conftest import SPACES, TINY, assert_close, batch, gradient, point
from torch import nn
from torch.nn.utils import parametrize

from scaleinv.checks import scale_check
from scaleinv.optim import SGD, Adam
from scaleinv.spaces import CycleSpace, FixedWeightSpace, GSpace, WeightSpace
from scaleinv.symmetry.network import UnsupportedNetworkError
from scaleinv.training.chain import ChainEngine
from scaleinv.training.stack import move_
from scaleinv.wrappers import SpaceModule, SpaceOptimizer, fix_weights

PAIRS = [
    pytest.param(Adam(beta2=0.99), torch.optim.Adam, {"betas": (0.9, 0.99)}, id="adam"),
    pytest.param(
        SGD(momentum=0.9, weight_decay=0.01), torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.01}, id="sgd"
    ),
]


def make_model():
    torch.manual_seed(0)
    return TINY.make().double()


def state(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def train(model, optimizer, steps=10, forward=None):
    for k in range(steps):
        images, labels = batch(TINY, seed=k)
        optimizer.zero_grad()
        nn.functional.cross_entropy((forward or model)(images), labels).backward()
        optimizer.step()


def train_stacked(space, ours, model, lr, steps=10):
    chart = space.chart(TINY.graph, {n: w[None] for n, w in state(model).items()})
    weights, rule = chart.start(), ours.transformation()
    memory = rule.init(weights)
    for k in range(steps):
        images, labels = batch(TINY, seed=k)
        found = gradient(ChainEngine(TINY), weights, images, labels)[1]
        memory = move_(rule, point(chart, weights), found, memory, torch.tensor([-lr], dtype=torch.float64))
    return {n: w[0] for n, w in weights.items()}


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize(("ours", "theirs", "options"), PAIRS)
def test_optimizer_and_module_equal_the_stacked_program(space, ours, theirs, options):
    wanted = train_stacked(space, ours, make_model(), 1e-3)
    model = make_model()
    train(model, SpaceOptimizer(model, space, theirs, lr=1e-3, **options))
    assert_close(state(model), wanted, rtol=1e-8)
    module = SpaceModule(make_model(), space)
    train(module, theirs(module.parameters(), lr=1e-3, **options))
    assert_close({n: w.detach() for n, w in module.weights().items()}, wanted, rtol=1e-8)
    assert_close(state(module.write_back()), wanted, rtol=1e-8)


def test_schedulers_reach_the_wrapped_optimizer():
    model = make_model()
    optimizer = SpaceOptimizer(model, GSpace(), torch.optim.SGD, lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    train(model, optimizer, steps=1)
    scheduler.step()
    assert optimizer.inner.param_groups[0]["lr"] == 0.05


def test_lbfgs_gets_its_closure():
    model = make_model()
    images, labels = batch(TINY, 32)
    optimizer = SpaceOptimizer(model, CycleSpace(), torch.optim.LBFGS, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        return loss

    first = optimizer.step(closure).item()
    assert closure().item() < 0.8 * first


@pytest.mark.parametrize("space", [GSpace("maxprod", normalise="balanced"), FixedWeightSpace(), CycleSpace()])
def test_saved_and_loaded_it_goes_on_as_if_nothing_had_happened(space):
    model = make_model()
    optimizer = SpaceOptimizer(model, space, torch.optim.Adam, lr=1e-2)
    train(model, optimizer)
    saved = copy.deepcopy(optimizer.state_dict())
    train(model, optimizer)
    other = make_model()
    resumed = SpaceOptimizer(other, space, torch.optim.Adam, lr=1e-2)
    resumed.load_state_dict(saved)
    train(other, resumed)
    assert_close(state(other), state(model), rtol=0)


@pytest.mark.parametrize("value", [1.0, 0.3, None])
def test_fixed_weights_stay_through_momentum_and_decay(value):
    model = make_model()
    before = state(model)
    masks = fix_weights(model, value)
    assert sum(int(mask.sum()) for mask in masks.values()) == TINY.graph.hidden
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    train(model, optimizer)
    for name, mask in masks.items():
        layer = model.get_submodule(name.removesuffix(".weight"))
        wanted = before[name][mask] if value is None else torch.full_like(before[name][mask], value)
        assert torch.equal(layer.weight[mask], wanted)
        assert not torch.equal(layer.weight[~mask], before[name][~mask])
        parametrize.remove_parametrizations(layer, "weight")
        assert torch.equal(layer.weight[mask], wanted)


def test_fix_weights_equals_fixed_weight_space():
    model = make_model()
    fix_weights(model, 0.7)
    train(model, torch.optim.SGD(model.parameters(), lr=0.01))
    wanted = train_stacked(FixedWeightSpace(value=0.7), SGD(), make_model(), 0.01)
    for name, w in wanted.items():
        owner, _, tensor = name.rpartition(".")
        torch.testing.assert_close(getattr(model.get_submodule(owner), tensor).detach(), w)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda m: SpaceOptimizer(m, GSpace(), torch.optim.SGD, lr=0.1),
        lambda m: SpaceModule(m, GSpace()),
        fix_weights,
    ],
)
def test_models_that_are_not_described_are_refused(wrap):
    with pytest.raises(UnsupportedNetworkError, match="Tanh"):
        wrap(nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2)))


@pytest.mark.parametrize("value", [0, 0.0, torch.nan, torch.inf, -torch.inf, 1e300, 1e-300])
def test_weights_are_fixed_at_numbers_of_their_dtype_only(value):
    model = TINY.make()
    before = state(model)
    with pytest.raises(ValueError, match=r"finite number|finite and not 0|NaN|not finite|is zero"):
        fix_weights(model, value)
    assert_close(state(model), before, rtol=0)


def test_weights_of_a_frozen_tensor_are_fixed_as_they_are_or_not_at_all():
    model = make_model()
    model[2].weight.requires_grad_(False)
    with pytest.raises(ValueError, match=r"2.weight is frozen"):
        fix_weights(model)
    before = state(model)["2.weight"]
    fix_weights(model, None)
    assert torch.equal(model[2].weight, before)
    assert not model[2].parametrizations.weight.original.requires_grad


WRAPPERS = [
    lambda m, space: SpaceOptimizer(m, space, torch.optim.SGD, lr=0.1),
    SpaceModule,
    lambda m, space: fix_weights(m),
    lambda m, space: scale_check(m, torch.ones(4, 5), torch.zeros(4).long(), {"it": space}),
]


@pytest.mark.parametrize("wrap", WRAPPERS)
@pytest.mark.parametrize("number", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers_are_refused_by_name(wrap, number):
    model = make_model()
    with torch.no_grad():
        model[2].bias[1] = number
    with pytest.raises(ValueError, match=r"2.bias .*NaN"):
        wrap(model, WeightSpace())


@pytest.mark.parametrize("wrap", WRAPPERS[:2])
@pytest.mark.parametrize("space", [FixedWeightSpace(fix="rescale"), CycleSpace(normalise="none"), GSpace(fix="keep")])
@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_products_beyond_the_dtype_never_reach_the_model(wrap, space, size):
    """(1e30)^3 along the skeleton is no number of float32, nor is (1e-30)^3."""
    model = make_model().float()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p.sign() * size)
    before = state(model)
    with pytest.raises(ValueError, match=r"zero|small|finite|skeleton"):
        wrap(model, space)
    assert_close(state(model), before, rtol=0)
