"""Promise: what computes the gradients changes no result; any module whose graph is described can be trained."""

from dataclasses import replace

import pytest
import torch
from conftest import NETWORKS, TINY, assert_close, batch, draw, gradient, member
from torch import nn
from torch.func import functional_call

from scaleinv.networks.mlp import mlp
from scaleinv.optim import SGD, Adam
from scaleinv.runs.datasets import load_dataset
from scaleinv.spaces import CycleSpace, FixedWeightSpace, GSpace, WeightSpace
from scaleinv.symmetry.graph import Edges, Graph
from scaleinv.symmetry.members import per_entry
from scaleinv.symmetry.network import Network
from scaleinv.training.autograd import AutogradEngine, make_engine
from scaleinv.training.cell import Cell
from scaleinv.training.chain import ChainEngine
from scaleinv.training.stack import Stack


def unchained(network):
    """The same network, without the knowledge that its gradients have a closed form."""
    return replace(network, chain=())


@pytest.mark.parametrize("network", NETWORKS)
def test_engines_agree(network):
    weights, (images, labels) = draw(network), batch(network)
    engines = [make_engine(n, {}) for n in (network, unchained(network))]
    assert [type(e) for e in engines] == [ChainEngine, AutogradEngine]
    grads, logits = [], []
    for engine in engines:
        outputs, g = gradient(engine, weights, images, labels)
        logits.append(outputs.clone())
        grads.append({name: t.clone() for name, t in g.whole(network.graph.shapes).items()})
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(engines[1].logits(weights, images[None]), logits[0], rtol=1e-12, atol=1e-12)
    assert_close(grads[0], grads[1], rtol=1e-12)
    outputs = unchained(network).forward(weights, images)
    torch.testing.assert_close(outputs.mT, logits[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("engine", [ChainEngine(TINY), AutogradEngine(TINY, {})], ids=["chain", "autograd"])
def test_a_gradient_is_added_to_some_tensors(engine):
    weights, (images, labels) = draw(TINY), batch(TINY)
    whole = {n: t.clone() for n, t in gradient(engine, weights, images, labels)[1].whole(weights).items()}
    factor = torch.randn(3).double()
    some = {name: weights[name].clone() for name in ("0.weight", "2.bias", "4.weight", "6.bias")}
    gradient(engine, weights, images, labels)[1].add_to_(some, factor)
    for name, w in some.items():
        torch.testing.assert_close(w, weights[name] + per_entry(factor, w) * whole[name], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("space", [WeightSpace(), GSpace("maxprod", "keep"), FixedWeightSpace(), CycleSpace()])
@pytest.mark.parametrize("optimizer", [SGD(), Adam()])
def test_stacks_agree(space, optimizer):
    data = load_dataset("digits").to("cpu", torch.float64)
    network = mlp((64, 7, 8, 10), bias=True)
    cell = Cell(network, data, space, optimizer, {"optimizer.lr": [1e-2, 1e-3]}, [0, 1], batch_size=100)
    stacks = [Stack(c, c.members) for c in (cell, replace(cell, network=unchained(network)))]
    scores = [[stack.train_epoch(epoch).loss for epoch in (1, 2)] for stack in stacks]
    torch.testing.assert_close(scores[0], scores[1], rtol=1e-9, atol=0)
    found, wanted = (vars(stack.score(data.val)) for stack in stacks)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=0)


class Small(nn.Sequential):
    """A convolution, perhaps batch norm, and a linear map."""

    def __init__(self, norm=False):
        """Draw the weights."""
        super().__init__(
            nn.Conv2d(1, 3, 3),
            *([nn.BatchNorm2d(3)] if norm else []),
            nn.Dropout(),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(27, 10),
        )


def small(norm):
    """A convolutional network with a graph by hand: every map is a class; with batch norm none is free."""
    module, zero = Small(norm), torch.zeros(1, dtype=torch.long)
    shapes = {name: tuple(p.shape) for name, p in module.named_parameters()}
    edges = {name: Edges(zero.view([1] * len(shape)), zero.view([1] * len(shape))) for name, shape in shapes.items()}
    return Network(lambda: Small(norm), Graph(shapes, edges, ()), (1, 8, 8), 10)


@pytest.mark.parametrize("norm", [False, True], ids=["plain", "batch norm"])
def test_a_convolutional_network_is_trained_as_pytorch_does(norm):
    """Every member on its own, running statistics too; what is dropped is none."""
    data, network, lrs = load_dataset("digits").to("cpu", torch.float64), small(norm), [0.1, 0.01]
    cell = Cell(network, data, WeightSpace(), SGD(momentum=0.9), {"optimizer.lr": lrs}, [3], batch_size=len(data.train))
    stack = Stack(cell, cell.members)
    models = []
    for lr in lrs:
        torch.manual_seed(3)
        model = Small(norm).double()
        optimizer = torch.optim.SGD(model.parameters(), lr, 0.9)
        models.append(model)
        for _ in range(3):
            model.train()
            model.get_submodule("2" if norm else "1").eval()  # the dropout
            images = data.normalise(data.train.images).view(-1, 1, 8, 8)
            loss = nn.functional.cross_entropy(model(images), data.train.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
    for epoch in (1, 2, 3):
        stack.train_epoch(epoch)
    scored = stack.score(data.val)
    state = stack.tensors()
    for i, model in enumerate(models):
        assert_close(member(stack.weights, i), {n: p.detach() for n, p in model.named_parameters()}, rtol=1e-8)
        for name, b in model.named_buffers():
            torch.testing.assert_close(state[f"buffers/{name}"][i], b, rtol=1e-9, atol=0)
        outputs = functional_call(model, {}, data.normalise(data.val.images).view(-1, 1, 8, 8))
        wanted = nn.functional.cross_entropy(outputs, data.val.labels, reduction="sum")
        torch.testing.assert_close(scored.loss[i], wanted.detach(), rtol=1e-9, atol=0)
    assert any(name.startswith("buffers/") for name in state) == norm
    again = Stack(cell, cell.members)
    again.load(state)
    assert torch.equal(again.score(data.val).loss, scored.loss)


def test_activations_of_any_network():
    assert mlp((5, 4, 3), bias=True).activations == 12
    assert unchained(mlp((5, 4, 3), bias=True)).activations == 12
    assert small(False).activations == 64 + 3 * 36 + 10
