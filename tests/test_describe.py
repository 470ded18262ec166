"""Promise: the description of a model is its rescaling symmetry, all of it and no more, and says what breaks it."""

from functools import cache

import pytest
import torch
from small_models import SMALL
from torch import nn
from torch.func import functional_call, jacrev

from scaleinv.symmetry.group import random_scales, rescale
from scaleinv.symmetry.network import UnsupportedNetworkError
from scaleinv.symmetry.trace import describe

KINDS = pytest.mark.parametrize("kind", SMALL)


@cache
def drawn(kind):
    """Return a model with weights of ordinary size, its description and inputs."""
    generator = torch.Generator().manual_seed(3)
    model = SMALL[kind].make().double()
    for parameter in model.parameters():
        parameter.data = draw(parameter, generator)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(torch.randn(buffer.shape, generator=generator))
    images = 3 * torch.randn(80, *SMALL[kind].inputs, generator=generator, dtype=torch.float64)
    return model, describe(model, images[:1]), images


def draw(like, generator):
    """Draw a parameter; biases are small, so that no unit is dead."""
    values = torch.randn(like.shape, generator=generator, dtype=torch.float64)
    return values / like[0].numel() ** 0.5 if like.dim() > 1 else 0.3 * values + 0.1 * values.sign()


def outputs(model, weights, images, training):
    """Compute in one of the modes, without dropping out, from the same running statistics."""
    model.train(training)
    for part in model.modules():
        part.training &= type(part) is not torch.nn.Dropout1d
    buffers = {name: b.clone() for name, b in model.named_buffers()}
    return functional_call(model, {**weights, **buffers}, images)


@KINDS
def test_a_rescaling_keeps_the_function(kind):
    """By powers of two to the last bit, in both modes."""
    model, network, images = drawn(kind)
    weights = {name: p.detach() for name, p in model.named_parameters()}
    generator = torch.Generator().manual_seed(1)
    powers = random_scales(network.graph, 2.0, powers_of_two=True, generator=generator)
    others = random_scales(network.graph, generator=generator)
    for training in (False, True):
        before = outputs(model, weights, images, training)
        assert torch.equal(outputs(model, rescale(network.graph, weights, powers), images, training), before)
        after = outputs(model, rescale(network.graph, weights, others), images, training)
        torch.testing.assert_close(after, before, rtol=1e-9, atol=1e-10 * float(before.abs().max()))


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@KINDS
def test_no_other_rescaling_is_left(kind):
    """K equals the number of parameters minus the rank of the function's Jacobian."""
    model, network, images = drawn(kind)
    assert network.graph.parameters == sum(p.numel() for p in model.parameters())
    assert network.graph.hidden == SMALL[kind].hidden
    assert network.graph.parameters <= 2 * len(images)

    def function(weights):
        # Of one batch alone, gamma could undo what eps does to a rescaling before a batch norm.
        return torch.cat([outputs(model, weights, part, training=True).flatten() for part in images.chunk(2)])

    free = network.graph.parameters
    for seed in range(30):  # where a unit is always on, or never, the rank is smaller
        generator = torch.Generator().manual_seed(seed)
        jacobian = jacrev(function)({name: draw(p, generator) for name, p in model.named_parameters()})
        rank = torch.linalg.matrix_rank(torch.cat([j.reshape(len(j), -1) for j in jacobian.values()], 1), rtol=1e-9)
        free = min(free, network.graph.parameters - int(rank))
        if free <= SMALL[kind].hidden + SMALL[kind].beyond:
            break
    assert free == SMALL[kind].hidden + SMALL[kind].beyond


@KINDS
def test_what_is_anchored_has_a_reason(kind):
    _, network, _ = drawn(kind)
    assert {anchor.operation for anchor in network.anchors} == SMALL[kind].anchors | {"output"}
    assert all(anchor.why and anchor.classes for anchor in network.anchors)


def test_an_example_changes_nothing_for_a_chain():
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    alone, traced = describe(model), describe(model, torch.zeros(1, 2, 3))
    assert (traced.chain, traced.inputs, traced.graph.blocks) == (alone.chain, alone.inputs, alone.graph.blocks)
    assert all(torch.equal(e.head, alone.graph.edges[name].head) for name, e in traced.graph.edges.items())


def test_a_chain_and_its_trace_have_the_same_classes():
    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3), nn.LeakyReLU(), nn.Linear(3, 2))
    chain, traced = (
        describe(model).graph,
        describe(nn.Sequential(model, nn.Unflatten(1, (2, 1))), torch.zeros(1, 6)).graph,
    )
    assert traced.blocks == chain.blocks
    for name, edges in chain.edges.items():
        for end in ("head", "tail"):
            found, wanted = (getattr(e, end).expand(chain.shapes[name]) for e in (traced.edges[f"0.{name}"], edges))
            assert torch.equal(found, wanted)


def test_describing_leaves_the_model_as_it_was():
    model = SMALL["batch_norms"].make()
    model[1].eval()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    describe(model, torch.randn(3, 2, 4, 4))
    assert (model.training, model[1].training) == (True, False)
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())


class Sinc(nn.Module):
    def forward(self, x):
        return x.sinc()


def test_an_unknown_operation_anchors_its_classes_by_name():
    layers = nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 5), Sinc(), nn.Linear(5, 2)
    network = describe(nn.Sequential(*layers), torch.zeros(1, 3))
    assert network.graph.hidden == 4
    anchor = network.anchors[0]
    assert (anchor.operation, anchor.module, anchor.classes, anchor.tensors) == ("sinc", "3", 5, ("2.weight", "2.bias"))
    assert "no rule" in anchor.why


def test_without_an_example_the_error_says_what_to_give():
    with pytest.raises(UnsupportedNetworkError, match=r"module 1 \(Tanh\).*describe it by an example of its inputs"):
        describe(nn.Sequential(nn.Linear(3, 3), nn.Tanh()))
