"""Promise: a program computes what its model computes, for any number of images, in float64 and for stacked weights."""

import logging

import pytest
import torch
from conftest import draw
from torch import nn
from torch.nn import functional as F  # noqa: N812

from scaleinv.networks.mlp import mlp
from scaleinv.symmetry.network import UnsupportedNetworkError
from scaleinv.symmetry.program import Program

aten = torch.ops.aten


class Functional(nn.Module):
    """Bare parameters, functional calls, a tensor made in the forward, a buffer outside the state_dict, tied layers."""

    def __init__(self):
        """Draw the parameters."""
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(4, 2, 3, 3))
        self.conv2d = nn.Parameter(torch.randn(4))  # the name of an operation
        self.inner = nn.Linear(16, 16)
        self.again = self.inner
        self.register_buffer("factor", torch.full((4, 1, 1), 3.0), persistent=False)

    def forward(self, x):
        x = F.conv2d(x, self.kernel, self.conv2d) * self.factor
        x = x.view(x.shape[0], -1)
        x = x + torch.full((x.shape[0], 1), 0.5)
        return {"out": self.again(self.inner(x).relu_()), "first": x[:, :2]}


class InPlace(nn.Module):
    """In place where it shows elsewhere, and where it does not."""

    def __init__(self):
        """Draw the parameters."""
        super().__init__()
        self.linear = nn.Linear(4, 6)

    def forward(self, x):
        x = self.linear(x).relu_()
        kept = x + 1
        x[:, :3] = 2 * x[:, 3:]
        x[:, 1].mul_(-1)
        y = x.view(-1, 2, 3)
        y.neg_()
        return x.add_(kept).flatten(1)


def convolutional():
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(True), nn.Dropout2d(0.0), nn.Flatten())


MODELS = {
    "functional": (Functional, (2, 4, 4)),
    "in-place": (InPlace, (4,)),
    "convolutional": (convolutional, (2, 4, 4)),
}


def tensors(model):
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize("kind", MODELS)
def test_a_program_computes_what_the_model_computes(kind, training):
    make, inputs = MODELS[kind]
    model = make()
    program = Program.trace(model, torch.zeros(1, *inputs), training)
    model.double().train(training)
    for images in (torch.randn(n, *inputs, dtype=torch.float64) for n in (5, 1)):
        before = {name: t.detach().clone() for name, t in tensors(model).items() if name in program.names}
        wanted = model(images)
        torch.testing.assert_close(program.run(before, images), wanted, rtol=0, atol=0)
        torch.testing.assert_close(before, {name: tensors(model)[name] for name in before}, rtol=0, atol=0)


def test_tracing_leaves_the_modes_of_the_parts():
    model = convolutional().train()
    model[1].eval()
    Program.trace(model, torch.zeros(1, 2, 4, 4))
    assert (model.training, model[1].training) == (True, False)


def test_stacked_weights_and_gradients():
    network = mlp((5, 4, 3), bias=True)
    weights, images = draw(network, 3), torch.randn(7, 5, dtype=torch.float64)
    stacked = torch.func.vmap(network.program.run, (0, None))(weights, images)
    torch.testing.assert_close(stacked, network.forward(weights, images))
    model = convolutional().double().eval()
    program = Program.trace(model, torch.zeros(2, 2, 4, 4, dtype=torch.float64))
    images = torch.randn(5, 2, 4, 4, dtype=torch.float64)
    loss = lambda w: program.run({**dict(model.named_buffers()), **w}, images).square().sum()  # noqa: E731
    found = torch.func.grad(loss)({name: p.detach() for name, p in model.named_parameters()})
    model(images).square().sum().backward()
    torch.testing.assert_close(found, {name: p.grad for name, p in model.named_parameters()})


def test_operations_have_places_and_can_be_visited():
    model = nn.Sequential(convolutional(), nn.Linear(12, 2))
    program = Program.trace(model, torch.zeros(2, 2, 4, 4))
    seen = []

    def visit(at, args, kwargs):
        seen.append(at)
        return args[0].square() if at.target == aten.relu.default else at.target(*args, **kwargs)

    images = torch.randn(3, 2, 4, 4)
    found = program.run(tensors(model), images, visit)
    model.eval()[0][2] = nn.Sequential()
    wanted = model[1](model[0][:2](images).square().flatten(1))
    torch.testing.assert_close(found, wanted)
    assert [(at.short, at.module) for at in seen if at.module != "0.3"] == [
        *[("conv2d", "0.0"), ("batch_norm", "0.1"), ("relu", "0.2"), ("flatten", "0.4"), ("linear", "1")]
    ]
    assert seen[0].inputs == ("images", "0.0.weight", "0.0.bias")


class Branches(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class Counts(nn.Linear):
    """Works for the number of images that it was traced with."""

    def forward(self, x):
        return super().forward(x) / int(x.shape[0])


def test_what_cannot_be_traced_is_refused_in_one_sentence_and_nothing_else():
    printed = []
    listener = logging.Handler()
    listener.emit = printed.append
    tracer = logging.getLogger("torch.fx.experimental.symbolic_shapes")  # prints pages about such models
    tracer.addHandler(listener)
    words = r"Branches cannot be traced by torch.export \(.*\);.* must not depend on the values"
    try:
        with pytest.raises(UnsupportedNetworkError, match=words):
            Program.trace(Branches(), torch.zeros(2, 3))
    finally:
        tracer.removeHandler(listener)
    assert not printed


def test_a_program_of_one_number_of_images():
    model = Counts(3, 2)
    program = Program.trace(model, torch.zeros(4, 3))
    images = torch.randn(4, 3)
    torch.testing.assert_close(program.run(tensors(model), images), model(images))
    with pytest.raises(UnsupportedNetworkError, match="traced with 4, got 3"):
        program.run(tensors(model), images[:3])
