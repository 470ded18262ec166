"""Promise: a network is PyTorch's own, described; its fast gradients are autograd's."""

import pytest
import torch
from conftest import NETWORKS, TINY, assert_close, batch, draw, member, stacked_gradients
from torch import nn
from torch.nn.utils import parametrize, prune

from scaleinv.checks import scale_check
from scaleinv.losses import CrossEntropy
from scaleinv.networks.mlp import mlp
from scaleinv.reference import gradients
from scaleinv.symmetry.network import UnsupportedNetworkError
from scaleinv.symmetry.trace import describe
from scaleinv.training.chain import ChainEngine

LOSS = CrossEntropy()


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
    engine = ChainEngine(network)
    # The second call, with another batch size, must not disturb the first's buffers.
    for n in (8, 3, 8):
        images = torch.stack([batch(network, n, seed=s)[0] for s in range(groups)])
        labels = torch.stack([batch(network, n, seed=s)[1] for s in range(groups)])
        targets = LOSS.targets(labels, 3, images.dtype)
        logits, gradient = engine.gradient(weights, images, targets, LOSS)
        grads = gradient.whole(weights)
        scored = LOSS.score(logits, labels)
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
    engine = ChainEngine(TINY)
    engine.logits(draw(TINY), batch(TINY)[0][None])
    kept = {t.untyped_storage().data_ptr(): t.numel() for t in engine.buffers()}
    assert sum(kept.values()) == 3 * sum(TINY.sizes[1:]) * 8  # members x outputs x images


def test_a_dead_network_is_not_right_about_everything():
    """Equal outputs are no prediction for the label; argmax takes the first class."""
    network = mlp((3, 2, 4))
    weights = {name: torch.zeros(1, *shape) for name, shape in network.graph.shapes.items()}
    labels = torch.tensor([[1, 2, 3, 0]])
    assert LOSS.score(ChainEngine(network).logits(weights, torch.ones(1, 4, 3)), labels).total().correct.item() == 1


@pytest.mark.parametrize("network", NETWORKS)
def test_describe_finds_what_mlp_made(network):
    model = network.make()
    found = describe(model)
    assert found.chain == network.chain
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


class Residual(nn.Sequential):
    def forward(self, inputs):
        return inputs + super().forward(inputs)


class Centred(nn.Linear):
    def forward(self, inputs):
        return super().forward(inputs) - self.weight.mean()


class Shifted(nn.ReLU):
    def forward(self, inputs):
        return super().forward(inputs) - 1


def doubled(module, *tensors):
    """A forward hook, or a forward pre-hook: what is passed on last, doubled."""
    last = tensors[-1]
    return 2 * (last[0] if isinstance(last, tuple) else last)


def with_(change):
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    change(model)
    return model


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Residual(nn.Linear(3, 3)), r"\(the model\) \(Residual\) is a subclass of Sequential"),
        (nn.Sequential(nn.Linear(3, 3), Residual(nn.ReLU(), nn.Linear(3, 3))), "module 1 .*subclass of Sequential"),
        (nn.Sequential(nn.Linear(3, 3), nn.ReLU(), Centred(3, 3)), "module 2 .*subclass of Linear"),
        (nn.Sequential(nn.Linear(3, 3), Shifted(), nn.Linear(3, 3)), "module 1 .*subclass of ReLU"),
        (nn.Sequential(nn.LazyLinear(3), nn.ReLU(), nn.Linear(3, 3)), "module 0 .*LazyLinear"),
        (nn.Sequential(nn.Linear(3, 3), nn.Flatten()), "module 1 .*must come first"),
        (nn.Sequential(nn.Flatten(1, 2), nn.Linear(3, 3)), "module 0 .*all dims"),
        (with_(lambda m: m[1].register_forward_hook(doubled)), "module 1 .*forward hooks.*remove"),
        (with_(lambda m: m.register_forward_hook(doubled)), r"the model.*forward hooks"),
        (with_(lambda m: m[2].register_forward_pre_hook(doubled)), "module 2 .*forward pre hooks"),
        (with_(lambda m: m[2].register_full_backward_hook(doubled)), "module 2 .*backward hooks"),
        (with_(lambda m: setattr(m[1], "forward", torch.tanh)), "module 1 .*forward of its own"),
        (with_(lambda m: nn.utils.spectral_norm(m[0])), "module 0 .*weight_orig.*spectral_norm"),
        (with_(lambda m: prune.l1_unstructured(m[0], "weight", 1)), "module 0 .*weight_orig.*prun"),
        (with_(lambda m: nn.utils.parametrizations.weight_norm(m[0])), "module 0 .*weight is parametrized"),
        (with_(lambda m: nn.utils.parametrizations.spectral_norm(m[2])), "module 2 .*weight is parametrized"),
        (with_(lambda m: parametrize.register_parametrization(m[2], "bias", nn.Tanh())), "module 2 .*bias is param"),
        (with_(lambda m: setattr(m[2], "weight", m[0].weight)), r"module 2 .*weight is used twice, first as 0.weight"),
        (with_(lambda m: setattr(m[2], "bias", m[0].bias)), r"module 2 .*bias is used twice, first as 0.bias"),
        (with_(lambda m: setattr(m[2], "weight", nn.Parameter(m[0].weight.data.mT))), "weight is used twice"),
        (with_(lambda m: m.append(m[0])), "module 3 .*used twice"),
        (nn.Sequential(torch.compile(nn.Linear(3, 3))), "not covered.*give the inner one"),
    ],
)
def test_a_module_that_computes_something_else_than_its_type_says_is_refused(model, words):
    with pytest.raises(UnsupportedNetworkError, match=words):
        describe(model)


def test_old_weight_norm_is_refused_by_name():
    with pytest.warns(FutureWarning):
        layer = nn.utils.weight_norm(nn.Linear(3, 3))
    with pytest.raises(UnsupportedNetworkError, match=r"module 0 .*weight is not a parameter|weight_g"):
        describe(nn.Sequential(layer, nn.ReLU(), nn.Linear(3, 3)))


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (torch.full((8, 5), torch.nan), torch.zeros(8), "images hold NaN"),
        (torch.ones(8, 4), torch.zeros(8), "8 labels and 5 inputs"),
        (torch.ones(8, 5), torch.zeros(7), "7 labels"),
        (torch.ones(8, 5), torch.full((8,), 3), "from 0 to 2"),
    ],
)
def test_scale_check_refuses_data_that_decide_nothing(images, labels, words):
    with pytest.raises(ValueError, match=words):
        scale_check(TINY.make(), images, labels.long(), steps=2)
