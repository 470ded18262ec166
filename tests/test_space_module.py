"""Promise: a SpaceModule is a module: modes, saved states, copies and frozen parameters work as in PyTorch."""

import copy
import io
import pickle

import pytest
import torch
from conftest import SPACES, TINY, batch
from torch import nn

from scaleinv.spaces import CycleSpace, FixedWeightSpace, GSpace, WeightSpace
from scaleinv.wrappers import SpaceModule


def make_model(seed=0, dropout=False):
    torch.manual_seed(seed)
    model = TINY.make().double()
    return nn.Sequential(*model, nn.Dropout(0.5)) if dropout else model


def trained(space, seed=0):
    module = SpaceModule(make_model(seed), space)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    for k in range(3):
        images, labels = batch(TINY, seed=k)
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(images), labels).backward()
        optimizer.step()
    return module


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("space", SPACES)
def test_loaded_into_a_module_of_other_weights_it_is_the_same_function(space):
    module, other = trained(space), SpaceModule(make_model(seed=1), space)
    images, _ = batch(TINY)
    assert not torch.allclose(other(images), module(images))
    other.load_state_dict(through_a_file(module.state_dict()))
    assert torch.equal(other(images), module(images))
    # Inside another module too, and into its own model.
    outer = nn.Sequential(SpaceModule(make_model(seed=2), space))
    outer.load_state_dict(nn.Sequential(module).state_dict())
    assert torch.equal(outer(images), module(images))
    torch.testing.assert_close(outer[0].write_back()(images), module(images))


def without_chart(state):
    return {name: value for name, value in state.items() if "_extra_state" not in name}


def without_a_bias(state):
    return {name: value for name, value in state.items() if "0/bias" not in name}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("state", "words"),
    [
        (lambda: without_chart(trained(CycleSpace()).state_dict()), "missing"),
        (lambda: without_a_bias(trained(CycleSpace()).state_dict()), "missing"),
        (lambda: trained(CycleSpace("maxprod")).state_dict(), "of CycleSpace.skeleton='maxprod'"),
        (lambda: SpaceModule(TINY.make(), CycleSpace()).state_dict(), "another network or dtype"),
        (
            lambda: SpaceModule(
                nn.Sequential(nn.Linear(5, 9), nn.ReLU(), nn.Linear(9, 3)).double(), CycleSpace()
            ).state_dict(),
            "missing",
        ),
    ],
)
def test_coordinates_are_loaded_with_their_chart_or_not_at_all(state, words, strict):
    module = SpaceModule(make_model(), CycleSpace())
    images, _ = batch(TINY)
    before = module(images)
    with pytest.raises(RuntimeError, match=words):
        module.load_state_dict(state(), strict=strict)
    assert torch.equal(module(images), before)


def test_the_state_of_the_modules_around_it_can_be_loaded_alone():
    outer = nn.Sequential(SpaceModule(make_model(), CycleSpace()), nn.Linear(3, 3))
    state = {"1.weight": torch.ones(3, 3), "1.bias": torch.zeros(3)}
    with pytest.raises(RuntimeError, match=r"Missing key.*0.0/weight"):
        outer.load_state_dict(state)
    assert "0._extra_state" in outer.load_state_dict(state, strict=False).missing_keys
    assert torch.equal(outer[1].weight, torch.ones(3, 3))


def test_modes_reach_the_dropout_and_weights_are_no_parameters():
    model = make_model(dropout=True)
    module = SpaceModule(model, CycleSpace())
    images, _ = batch(TINY)
    assert (module(images) == 0).any()
    module.eval()
    assert not (module(images) == 0).any()
    torch.testing.assert_close(module(images), model.eval()(images))
    names = [name.replace(".", "/") for name, _ in model.named_parameters()]
    assert [name for name, _ in module.named_parameters()] == names
    assert [name for name, _ in nn.Sequential(module).named_parameters()] == [f"0.{name}" for name in names]
    assert not list(module.buffers())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("space", [WeightSpace(), FixedWeightSpace(fix="keep")])
def test_frozen_parameters_stay_frozen(space):
    model = make_model()
    model[2].weight.requires_grad_(False)
    module = SpaceModule(model, space)
    assert [name for name, p in module.named_parameters() if not p.requires_grad] == ["2/weight"]
    assert torch.equal(module.weights()["2.weight"], model[2].weight)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))])
def test_copies_compute_the_same_and_are_independent(copied):
    module = trained(GSpace("maxprod", fix="keep"))
    images, _ = batch(TINY)
    before = module(images)
    twin = copied(module)
    assert torch.equal(twin(images), before)
    with torch.no_grad():
        next(twin.parameters()).mul_(2)
    assert not torch.equal(twin(images), before)
    assert torch.equal(module(images), before)


def test_another_dtype_is_refused_before_anything_changes():
    module = trained(CycleSpace())
    images, _ = batch(TINY)
    before = module(images)
    for convert in (module.float, module.half, lambda: nn.Sequential(module).to(torch.float32)):
        with pytest.raises(TypeError, match=r"write_back\(\)"):
            convert()
    assert torch.equal(module.double().cpu()(images), before)


def test_functions_of_parameters_see_the_coordinates():
    """A Hessian by the coordinates, as Laplace approximations take it."""
    module = SpaceModule(make_model(), FixedWeightSpace(fix="keep"))
    images, labels = batch(TINY)

    def loss(bias):
        outputs = torch.func.functional_call(module, {"6/bias": bias}, images)
        return nn.functional.cross_entropy(outputs, labels)

    bias = module.get_parameter("6/bias").detach()
    hessian = torch.func.jacrev(torch.func.jacrev(loss))(bias)
    probabilities = module(images).softmax(1).detach()
    wanted = (torch.diag_embed(probabilities) - probabilities[:, :, None] * probabilities[:, None]).mean(0)
    torch.testing.assert_close(hessian, wanted)
