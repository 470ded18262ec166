"""Promise: SpaceOptimizer is an optimizer: what users do to gradients, groups and copies works as in PyTorch."""

import copy
import io
import pickle

import pytest
import torch
from conftest import SPACES, TINY, assert_close, batch
from torch import nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_, parameters_to_vector, vector_to_parameters

from scaleinv.spaces import CycleSpace, FixedWeightSpace, GSpace, UnsupportedSpaceError, WeightSpace
from scaleinv.symmetry.group import random_scales, rescale
from scaleinv.wrappers import SpaceModule, SpaceOptimizer

KEPT_G = GSpace("maxprod", fix="keep")


def make_model(dtype=torch.float64):
    torch.manual_seed(0)
    return TINY.make().to(dtype)


def state(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def backward(model, k=0, scaler=None):
    images, labels = batch(TINY, seed=k)
    loss = nn.functional.cross_entropy(model(images.to(next(model.parameters()))), labels)
    (scaler.scale(loss) if scaler else loss).backward()
    return loss


def step(model, optimizer, k=0):
    optimizer.zero_grad()
    backward(model, k)
    optimizer.step()


def group_parameters(optimizer):
    return [p for group in optimizer.param_groups for p in group["params"]]


def clipping(model, optimizer):
    for k in range(4):
        optimizer.zero_grad()
        backward(model, k)
        clip_grad_norm_(group_parameters(optimizer), 0.1)
        optimizer.step()
    clip_grad_value_(group_parameters(optimizer), 1e-4)
    optimizer.step()


def scaling(model, optimizer):
    """The third loss is infinite, the last is unscaled by hand."""
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for k in range(5):
        optimizer.zero_grad()
        backward(model, k, scaler)
        if k == 2:
            next(model.parameters()).grad[0, 0] = torch.inf
        if k == 4:
            scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()


def scheduling(model, optimizer):
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=6)
    for k in range(5):
        step(model, optimizer, k)
        scheduler.step()


def closing(model, optimizer):
    """Gradients add up from call to call: the closure finds those it left."""
    for k in range(3):
        optimizer.step(lambda k=k: backward(model, k))


def skipping(model, optimizer):
    """Some steps with no gradient at all, some with a few."""
    optimizer.step()
    step(model, optimizer)
    optimizer.zero_grad()
    optimizer.step()
    backward(model)
    model.get_parameter("2.weight").grad = None
    optimizer.step()


def freezing(model, optimizer):
    step(model, optimizer)
    model.get_parameter("2.weight").grad = None
    model.get_parameter("2.weight").requires_grad_(False)
    step(model, optimizer, 1)
    model.get_parameter("2.weight").requires_grad_(True)
    step(model, optimizer, 2)


@pytest.mark.parametrize("treat", [clipping, scaling, scheduling, closing, skipping, freezing])
@pytest.mark.parametrize(
    ("theirs", "options"),
    [
        (torch.optim.SGD, {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}),
        (torch.optim.AdamW, {"lr": 0.01, "amsgrad": True}),
    ],
)
def test_in_weight_space_it_is_pytorchs_own_bit_for_bit(treat, theirs, options):
    model, wrapped = make_model(), make_model()
    treat(model, theirs(model.parameters(), **options))
    treat(wrapped, SpaceOptimizer(wrapped, WeightSpace(), theirs, **options))
    assert_close(state(wrapped), state(model), rtol=0)


@pytest.mark.parametrize("space", SPACES)
def test_a_step_uses_the_gradients_that_the_model_holds(space):
    """Clipped or unscaled by the groups; afterwards they are still there."""
    model = make_model()
    optimizer = SpaceOptimizer(model, space, torch.optim.SGD, lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    backward(model, scaler=scaler)
    scaler.unscale_(optimizer)
    clip_grad_norm_(group_parameters(optimizer), 0.01)
    grads = {name: p.grad.clone() for name, p in model.named_parameters()}
    assert parameters_to_vector(grads.values()).norm() == pytest.approx(0.01, rel=1e-3)
    pulled = optimizer.chart.pullback(state(model), grads)
    wanted = optimizer.chart.retract(state(model), pulled, torch.tensor(-0.1, dtype=torch.float64))
    scaler.step(optimizer)
    assert_close(state(model), wanted)
    assert_close({name: p.grad for name, p in model.named_parameters()}, grads, rtol=0)


def freeze(model, names):
    for name in names:
        model.get_parameter(name).requires_grad_(False)


FROZEN = [
    pytest.param(WeightSpace(), ["0.weight", "4.bias"], id="weight"),
    pytest.param(FixedWeightSpace(), ["0.weight", "0.bias", "6.bias"], id="fixed-without-pins"),
    pytest.param(FixedWeightSpace(fix="keep"), ["2.weight", "4.bias"], id="fixed-keep"),
    pytest.param(GSpace(), ["2.bias", "6.bias"], id="gspace-biases"),
]


@pytest.mark.parametrize(("space", "names"), FROZEN)
def test_frozen_parameters_keep_every_bit_and_the_others_train_as_if_alone(space, names):
    model = make_model()
    freeze(model, names)
    before = state(model)
    module = SpaceModule(copy.deepcopy(model), space)
    optimizer = SpaceOptimizer(model, space, torch.optim.AdamW, lr=0.01, weight_decay=0.1)
    theirs = torch.optim.AdamW(module.parameters(), lr=0.01, weight_decay=0.1)
    for k in range(5):
        optimizer.zero_grad()
        for name in names:  # left over from before it was frozen, say
            model.get_parameter(name).grad = torch.ones_like(before[name])
        backward(model, k)
        optimizer.step()
        step(module, theirs, k)
    after = state(model)
    assert all(torch.equal(after[name], before[name]) for name in names)
    assert not any(torch.equal(after[name], before[name]) for name in after if name not in names)
    assert_close(after, {name: w.detach() for name, w in module.weights().items()})
    assert_close(state(module.write_back()), after)


@pytest.mark.parametrize("wrap", [lambda m, s: SpaceOptimizer(m, s, torch.optim.SGD, lr=0.1), SpaceModule])
@pytest.mark.parametrize(
    ("space", "name"),
    [
        (FixedWeightSpace(), "2.weight"),
        (CycleSpace(), "0.bias"),
        (GSpace(), "6.weight"),
        (KEPT_G, "4.weight"),
        (GSpace(fix="keep", normalise="balanced"), "0.bias"),
    ],
)
def test_a_space_that_would_change_a_frozen_parameter_is_refused(wrap, space, name):
    model = make_model()
    freeze(model, [name])
    before = state(model)
    with pytest.raises(UnsupportedSpaceError, match=f"{name} is frozen"):
        wrap(model, space)
    assert_close(state(model), before, rtol=0)


def test_what_is_frozen_later_is_kept_or_refused():
    model = make_model()
    optimizer = SpaceOptimizer(model, KEPT_G, torch.optim.Adam, lr=0.01)
    step(model, optimizer)
    freeze(model, ["0.weight"])
    before = state(model)
    step(model, optimizer)
    assert torch.equal(model.get_parameter("0.weight"), before["0.weight"])
    assert not torch.equal(model.get_parameter("2.weight"), before["2.weight"])
    freeze(model, ["4.weight"])
    before = state(model)
    for _ in range(2):
        with pytest.raises(UnsupportedSpaceError, match=r"4.weight is frozen"):
            step(model, optimizer)
        optimizer.load_state_dict(optimizer.state_dict())
    assert_close(state(model), before, rtol=0)


@pytest.mark.parametrize("space", SPACES)
def test_without_gradients_nothing_moves(space):
    model = make_model()
    optimizer = SpaceOptimizer(model, space, torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.1)
    step(model, optimizer)
    optimizer.zero_grad()
    before = state(model)
    optimizer.step()
    assert_close(state(model), before, rtol=0)


def by_data(model):
    model.get_parameter("2.weight").data.mul_(0.5)


def by_vector(model):
    vector_to_parameters(parameters_to_vector(model.parameters()).detach() * 0.5, model.parameters())


def by_loading(model):
    model.load_state_dict({name: w * 0.5 for name, w in model.state_dict().items()})


@pytest.mark.parametrize("edit", [by_data, by_vector, by_loading])
@pytest.mark.parametrize("space", [WeightSpace(), FixedWeightSpace(), CycleSpace(), KEPT_G])
def test_edits_from_outside_are_noticed_and_taken_over(space, edit):
    model = make_model()
    optimizer = SpaceOptimizer(model, space, torch.optim.Adam, lr=0.01)
    step(model, optimizer)
    edit(model)
    images, _ = batch(TINY)
    wanted = model(images)
    with pytest.raises(RuntimeError, match=r"recenter\(\)"):
        optimizer.step()
    optimizer.recenter()
    torch.testing.assert_close(model(images), wanted)
    # And so is the chart: saved, loaded and trained on, it is the same network.
    saved = copy.deepcopy(optimizer.state_dict())
    other = make_model()
    resumed = SpaceOptimizer(other, space, torch.optim.Adam, lr=0.01)
    resumed.load_state_dict(saved)
    torch.testing.assert_close(other(images), wanted)
    step(model, optimizer)
    step(other, resumed)
    assert_close(state(other), state(model), rtol=0)


@pytest.mark.parametrize(
    "space", [KEPT_G, GSpace(), GSpace(fix="keep", normalise="balanced"), CycleSpace(), FixedWeightSpace()]
)
@pytest.mark.parametrize("factor", [-1.0, 0.0])
def test_recenter_keeps_the_function_or_says_that_it_cannot(space, factor):
    model = make_model()
    optimizer = SpaceOptimizer(model, space, torch.optim.Adam, lr=0.01)
    model.get_parameter("4.weight").data.mul_(factor)
    before = state(model)
    if isinstance(space, FixedWeightSpace) and factor:  # the sign is free there
        optimizer.recenter()
    else:
        with pytest.raises(ValueError, match=r"4.weight"):
            optimizer.recenter()
    assert_close(state(model), before, rtol=0)


def test_a_network_that_diverged_was_not_changed_from_outside():
    model = make_model()
    optimizer = SpaceOptimizer(model, CycleSpace(), torch.optim.SGD, lr=1e200)
    for k in range(4):
        step(model, optimizer, k)
    assert not all(w.isfinite().all() for w in state(model).values())


def test_two_optimizers_of_one_model_notice_each_other():
    model = make_model()
    one = SpaceOptimizer(model, WeightSpace(), torch.optim.SGD, lr=0.1)
    other = SpaceOptimizer(model, FixedWeightSpace(fix="keep"), torch.optim.SGD, lr=0.1)
    step(model, one)
    with pytest.raises(RuntimeError, match="changed outside"):
        step(model, other)
    other.recenter()
    step(model, other)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (lambda: SpaceOptimizer(make_model(), KEPT_G, torch.optim.Adam), "another space: GSpace.*not CycleSpace"),
        (lambda: SpaceOptimizer(nn.Linear(5, 3).double(), WeightSpace(), torch.optim.Adam), "another space"),
        (
            lambda: SpaceOptimizer(
                nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)).double(), CycleSpace(), torch.optim.Adam
            ),
            "another network",
        ),
        (lambda: SpaceOptimizer(make_model(torch.float32), CycleSpace(), torch.optim.Adam), "float32"),
    ],
)
def test_the_state_of_something_else_is_refused(other, words):
    model = make_model()
    optimizer = SpaceOptimizer(model, CycleSpace(), torch.optim.Adam)
    before = state(model)
    with pytest.raises(ValueError, match=words):
        optimizer.load_state_dict(other().state_dict())
    assert_close(state(model), before, rtol=0)
    step(model, optimizer)


@pytest.mark.parametrize("theirs", [torch.optim.Adam, torch.optim.LBFGS])
@pytest.mark.parametrize("space", [WeightSpace(), FixedWeightSpace("maxprod"), CycleSpace(), KEPT_G])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_copied_with_its_model_it_trains_the_copy(copied, space, theirs):
    def train(model, optimizer):
        def closure():
            optimizer.zero_grad()
            return backward(model)

        optimizer.step(closure)

    pair = model, optimizer = (model := make_model()), SpaceOptimizer(model, space, theirs, lr=0.01)
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)  # patches optimizer.step
    train(*pair)
    scheduler.step()
    twins = copied(pair)
    before = state(model)
    train(*twins)
    assert_close(state(model), before, rtol=0)
    train(*pair)
    assert not torch.equal(model.get_parameter("0.weight"), before["0.weight"])
    assert_close(state(twins[0]), state(model), rtol=0)


def test_the_state_goes_through_a_file_of_tensors():
    model = make_model()
    optimizer = SpaceOptimizer(model, CycleSpace(), torch.optim.Adam, lr=0.01)
    step(model, optimizer)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    other = make_model()
    SpaceOptimizer(other, CycleSpace(), torch.optim.Adam).load_state_dict(torch.load(file, weights_only=True))
    assert_close(state(other), state(model), rtol=0)


def test_a_model_that_changes_its_dtype_afterwards_is_refused():
    model = make_model(torch.float32)
    optimizer = SpaceOptimizer(model, CycleSpace(), torch.optim.Adam)
    step(model, optimizer)
    model.double()
    for call in (optimizer.step, optimizer.recenter, lambda: optimizer.load_state_dict(optimizer.state_dict())):
        with pytest.raises(RuntimeError, match=r"float32 on cpu .*float64"):
            call()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("space", [FixedWeightSpace(), CycleSpace("maxprod"), GSpace()])
def test_half_precision_trains(space, dtype):
    model = make_model(dtype)
    optimizer = SpaceOptimizer(model, space, torch.optim.SGD, lr=0.05)
    first = backward(model).item()
    for _ in range(20):
        step(model, optimizer)
    assert backward(model).item() < 0.95 * first


def test_one_group_is_all_there_is():
    optimizer = SpaceOptimizer(make_model(), CycleSpace(), torch.optim.Adam)
    with pytest.raises(NotImplementedError, match="are grouped when the optimizer is made"):
        optimizer.add_param_group({"params": [torch.zeros(2, requires_grad=True)]})


def test_an_error_in_the_closure_leaves_the_model_where_it_was():
    model = make_model()
    optimizer = SpaceOptimizer(model, KEPT_G, torch.optim.SGD, lr=0.1)
    step(model, optimizer)
    before = state(model)

    def closure():
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        optimizer.step(closure)
    assert_close(state(model), before, rtol=0)
    step(model, optimizer)


def test_a_closure_that_changes_the_weights_is_refused():
    model = make_model()
    optimizer = SpaceOptimizer(model, CycleSpace(), torch.optim.Adam)
    before = state(model)

    def closure():
        model.get_parameter("0.weight").data.clamp_(-0.1, 0.1)
        return backward(model)

    with pytest.raises(RuntimeError, match="changed outside"):
        optimizer.step(closure)
    assert_close(state(model), before, rtol=0)


def test_rescaling_by_powers_of_two_and_recentring_changes_no_later_step():
    trained = []
    for rescaled in (False, True):
        model = make_model()
        optimizer = SpaceOptimizer(model, CycleSpace(), torch.optim.Adam, lr=0.01)
        for k in range(4):
            step(model, optimizer, k)
            if rescaled:
                generator = torch.Generator().manual_seed(k)
                scales = random_scales(TINY.graph, powers_of_two=True, generator=generator)
                model.load_state_dict(rescale(TINY.graph, state(model), scales))
                optimizer.recenter()
        trained.append(state(model))
    assert_close(trained[1], trained[0], rtol=0)
