"""Promise: a network is PyTorch's own, described; its fast gradients are autograd's."""

import pytest
import torch
from conftest import NETWORKS, TINY, assert_close, batch, draw, member, stacked_gradients
from torch import nn

from scaleinv.networks.mlp import mlp
from scaleinv.reference import gradients
from scaleinv.symmetry.network import UnsupportedNetworkError
from scaleinv.symmetry.trace import describe
from scaleinv.training.chain import Backprop, one_hot, score


@pytest.mark.parametrize("bias", [False, True])
def test_init_is_pytorchs_default(bias):
    network = mlp((7, 6, 5), bias)
    drawn = network.init([4, 9, 4])
    for i, seed in enumerate([4, 9, 4]):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(7, 6, bias), nn.ReLU(), nn.Linear(6, 5, bias))
        assert_close(member(drawn, i), {n: p.detach() for n, p in model.named_parameters()}, rtol=0)


def test_init_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    TINY.init([3])
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("slope", [0.0, 0.1, -0.5, 1.5])
@pytest.mark.parametrize("bias", [False, True])
def test_closed_form_gradients_are_autograds(groups, slope, bias):
    network = mlp((5, 4, 6, 4, 3), bias, slope)
    weights = draw(network, 6)
    backprop = Backprop(network)
    # The second call, with another batch size, must not disturb the first's buffers.
    for n in (8, 3, 8):
        images = torch.stack([batch(network, n, seed=s)[0] for s in range(groups)])
        labels = torch.stack([batch(network, n, seed=s)[1] for s in range(groups)])
        logits, gradient = backprop.gradient(weights, images, one_hot(labels, 3, images.dtype))
        grads = gradient.whole(weights)
        scored = score(logits, labels)
        for i in range(6):
            group = i // (6 // groups)
            losses, wanted = gradients(network, member(weights, i), images[group], labels[group])
            assert_close(member(grads, i), wanted)
            assert scored.loss[i].mean().item() == pytest.approx(losses.item())
            outputs = network.forward(member(weights, i), images[group])
            assert torch.equal(scored.correct[i], outputs.argmax(1) == labels[group])


def test_an_activation_behind_the_last_layer():
    network = describe(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU()))
    weights = draw(network)
    images, labels = batch(network)
    grads = stacked_gradients(network, weights, images, labels)
    for i in range(3):
        assert_close(member(grads, i), gradients(network, member(weights, i), images, labels)[1])


def test_evaluation_keeps_no_memory_for_gradients():
    backprop = Backprop(TINY)
    backprop.logits(draw(TINY), batch(TINY)[0][None])
    kept = {t.untyped_storage().data_ptr(): t.numel() for t in backprop.buffers()}
    assert sum(kept.values()) == 3 * sum(TINY.sizes[1:]) * 8  # members x outputs x images


def test_a_dead_network_is_not_right_about_everything():
    """Equal outputs are no prediction for the label; argmax takes the first class."""
    network = mlp((3, 2, 4))
    weights = {name: torch.zeros(1, *shape) for name, shape in network.graph.shapes.items()}
    labels = torch.tensor([[1, 2, 3, 0]])
    assert score(Backprop(network).logits(weights, torch.ones(1, 4, 3)), labels).total().correct.item() == 1


@pytest.mark.parametrize("network", NETWORKS)
def test_describe_finds_what_mlp_made(network):
    model = network.module()
    found = describe(model)
    assert found.layers == network.layers
    assert found.graph.shapes == network.graph.shapes
    images, _ = batch(network)
    weights = {name: p.detach().double() for name, p in model.named_parameters()}
    torch.testing.assert_close(found.forward(weights, images), model.double()(images).detach())


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2)), r"module 1 \(Tanh\)"),
        (nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)), "BatchNorm1d"),
        (nn.Sequential(nn.ReLU(), nn.Linear(3, 3)), "must follow a Linear"),
        (nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(5, 2)), "reads 5 inputs, 0.weight writes 4"),
        (nn.Bilinear(2, 2, 2), "the model.*Bilinear"),
        (nn.Sequential(nn.Flatten()), "no Linear"),
    ],
)
def test_what_is_not_covered_is_refused_by_name(model, words):
    with pytest.raises(UnsupportedNetworkError, match=words):
        describe(model)


def test_tied_weights_are_refused():
    tied = nn.Linear(3, 3)
    with pytest.raises(UnsupportedNetworkError, match="used twice"):
        describe(nn.Sequential(tied, nn.ReLU(), tied))
