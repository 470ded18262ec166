"""Promise: the wrappers and the check of invariance take any model that is described by an example."""

import copy

import pytest
import torch
from conftest import INVARIANT
from torch import nn

from scaleinv.checks import EVERY_STEP, ONCE, scale_check
from scaleinv.networks.resnet import ResNet
from scaleinv.spaces import CycleSpace, FixedWeightSpace, GSpace, WeightSpace
from scaleinv.symmetry.group import random_scales, rescale
from scaleinv.symmetry.network import UnsupportedNetworkError
from scaleinv.symmetry.trace import describe, read_weights
from scaleinv.wrappers import SpaceModule, SpaceOptimizer, fix_weights

INPUTS = (2, 6, 6)
SGD = {"lr": 1e-2, "momentum": 0.9, "weight_decay": 1e-3}


class Model(nn.Module):
    """Convolutions, batch norm, a shortcut and pooling, as users write them."""

    def __init__(self):
        """Draw the weights."""
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.inner, self.outer = nn.Conv2d(4, 3, 1), nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        x = self.norm(self.stem(x)).relu()
        x = (x + self.outer(self.inner(x).relu())).relu()
        return self.head(nn.functional.max_pool2d(x, 3).flatten(1))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Model().double()


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(12, *INPUTS, generator=generator, dtype=torch.float64)
    return images, torch.randint(3, (12,), generator=generator)


def train(model, optimizer, data, steps=4):
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(data[0]), data[1]).backward()
        optimizer.step()
    return model


def test_scale_check_in_both_modes(model, data):
    before = copy.deepcopy(model.state_dict())
    found = scale_check(model, *data, steps=4, batch_size=8)
    verdicts = {(c.space, c.optimizer, c.mode): c.is_invariant for c in found}
    for optimizer in ("SGD", "Adam"):
        for mode in (ONCE, EVERY_STEP):
            assert verdicts["G-space", optimizer, mode]
            assert verdicts["cycle", optimizer, mode]
            assert not verdicts["weight", optimizer, mode]
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())


def test_scale_check_of_an_architecture(data):
    network = ResNet(8).network((1, 4, 4), 10)
    images = torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
    kinds = {"cycle": CycleSpace("maxprod"), "weight": WeightSpace()}
    found = scale_check(network, images, torch.arange(8), kinds, steps=2, batch_size=8)
    assert [c.is_invariant for c in found] == [c.space == "cycle" for c in found]


def test_weight_space_is_plain_training(model, data):
    plain = copy.deepcopy(model)
    train(plain, torch.optim.SGD(plain.parameters(), **SGD), data)
    train(model, SpaceOptimizer(model, WeightSpace(), torch.optim.SGD, data[0], **SGD), data)
    for name, t in plain.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], t, rtol=1e-12, atol=0)


@pytest.mark.parametrize("space", [CycleSpace(), INVARIANT["gspace-balanced-maxprod"]], ids=["cycle", "G-space"])
def test_an_optimizer_does_not_notice_powers_of_two(model, data, space):
    graph = describe(model, data[0]).graph
    scales = random_scales(graph, 2.0, powers_of_two=True, generator=torch.Generator().manual_seed(2))
    other = copy.deepcopy(model)
    other.load_state_dict(rescale(graph, read_weights(model, graph), scales), strict=False)
    assert not torch.equal(other.inner.weight, model.inner.weight)
    for one in (model, other):
        train(one, SpaceOptimizer(one, space, torch.optim.SGD, data[0], **SGD), data)
    assert torch.equal(model.eval()(data[0]), other.eval()(data[0]))


@pytest.mark.parametrize("space", [CycleSpace(), GSpace("maxprod", fix="keep"), FixedWeightSpace()], ids=repr)
def test_a_module_in_coordinates_trains_as_the_optimizer_does(model, data, space):
    module = SpaceModule(copy.deepcopy(model), space, data[0])
    train(module, torch.optim.SGD(module.parameters(), lr=1e-3), data)
    train(model, SpaceOptimizer(model, space, torch.optim.SGD, data[0], lr=1e-3), data)
    for name, w in module.weights().items():
        torch.testing.assert_close(w, model.get_parameter(name), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(module.model.norm.running_mean, model.norm.running_mean, rtol=1e-9, atol=1e-12)


def test_fixed_weights_stay(model, data):
    masks = fix_weights(model, 0.5, "maxprod", data[0])
    train(model, torch.optim.SGD(model.parameters(), **SGD), data)
    assert sum(int(mask.sum()) for mask in masks.values()) == describe(Model(), data[0].float()).graph.hidden
    for name, mask in masks.items():
        owner, _, tensor = name.rpartition(".")
        assert getattr(model.get_submodule(owner), tensor)[mask].eq(0.5).all()


def test_without_an_example_the_message_asks_for_one(model):
    with pytest.raises(UnsupportedNetworkError, match="describe it by an example"):
        SpaceOptimizer(model, CycleSpace(), torch.optim.SGD, lr=0.1)


class Tied(nn.Module):
    """One matrix under two names."""

    def __init__(self):
        """Draw the weights."""
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.second.weight = self.first.weight

    def forward(self, images):
        return self.last(torch.relu(self.second(torch.relu(self.first(images)))))


def test_a_tied_tensor_is_one_coordinate_under_all_its_names():
    torch.manual_seed(0)
    model, images = Tied().double(), torch.randn(4, 6, dtype=torch.float64)
    module = SpaceModule(model, WeightSpace(), example=images)
    torch.testing.assert_close(module(images), model(images))
    for one in (model, module):
        one(images).square().sum().backward()
    torch.testing.assert_close(module.get_parameter("first/weight").grad, model.first.weight.grad)


@pytest.mark.parametrize("wrap", [SpaceModule, lambda *args, **options: fix_weights(args[0], **options)])
def test_a_model_without_parameters_is_refused_in_words(wrap):
    with pytest.raises(UnsupportedNetworkError, match="the model has no parameters"):
        wrap(nn.Softsign(), WeightSpace(), example=torch.zeros(2, 6))
