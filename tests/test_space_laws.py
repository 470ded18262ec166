"""Promise: every space keeps the same laws, on every network, for stacks and for members alone."""

import pytest
import torch
from conftest import (
    EXPLICIT,
    INVARIANT,
    NETWORKS,
    SPACES,
    TINY,
    assert_close,
    batch,
    draw,
    gradient,
    member,
    stacked_gradients,
)

from scaleinv.networks.mlp import mlp
from scaleinv.reference import gradients
from scaleinv.spaces import CycleSpace, FixedWeightSpace, GSpace, UnsupportedSpaceError, WeightSpace
from scaleinv.symmetry.group import random_scales, rescale
from scaleinv.training.chain import ChainEngine

overwrites = lambda space: getattr(space, "fix", "keep") == "overwrite"  # noqa: E731


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("space", SPACES)
class TestLaws:
    def test_function_is_kept(self, space, network):
        weights = draw(network)
        chart = space.chart(network.graph, weights)
        images, _ = batch(network)
        started = network.forward(chart.to_weights(chart.origin), images)
        if overwrites(space):
            assert not torch.allclose(started, network.forward(weights, images))
        else:
            torch.testing.assert_close(started, network.forward(weights, images), rtol=1e-10, atol=1e-12)

    def test_round_trip(self, space, network):
        chart = space.chart(network.graph, draw(network))
        weights = chart.to_weights(chart.origin)
        assert_close(chart.to_coords(weights), chart.origin)
        assert_close(chart.to_weights(chart.to_coords(weights)), weights)

    def test_pullback_is_autograd(self, space, network):
        chart = space.chart(network.graph, draw(network))
        images, labels = batch(network)
        leaves = {name: c.clone().requires_grad_() for name, c in chart.origin.items()}
        weights = chart.to_weights(leaves)
        _, grads = gradients(network, {n: w.detach() for n, w in weights.items()}, images, labels)
        inner = sum((weights[n] * grads[n]).sum() for n in weights)
        wanted = torch.autograd.grad(inner, list(leaves.values()))
        found = chart.pullback({n: w.detach() for n, w in weights.items()}, grads)
        assert_close(found, dict(zip(leaves, wanted, strict=True)), rtol=1e-9)

    def test_retract_is_a_step_in_the_coordinates(self, space, network):
        chart = space.chart(network.graph, draw(network))
        weights = chart.to_weights(chart.origin)
        images, labels = batch(network)
        _, grads = gradients(network, weights, images, labels)
        direction = chart.pullback(weights, grads)
        step = torch.tensor([-1e-2, -1e-3, 1e-4], dtype=torch.float64)
        moved = chart.retract(weights, direction, step)
        coords = {
            name: c + step.view(-1, *[1] * (c.dim() - 1)) * direction[name]
            for name, c in chart.to_coords(weights).items()
        }
        assert_close(moved, chart.to_weights(coords), rtol=1e-8)

    def test_descent_is_pullback_then_retract(self, space, network):
        images, labels = batch(network)
        chart = space.chart(network.graph, draw(network))
        wanted = chart.start()
        step = torch.tensor([-1e-2, -1e-3, 1e-4], dtype=torch.float64)
        descended = chart.start()
        for _ in range(2):
            grads = stacked_gradients(network, wanted, images, labels)
            frame = chart.begin(wanted)
            chart.retract_(frame, chart.pullback_(frame, grads), step)
            unwritten = gradient(ChainEngine(network), descended, images, labels)[1]
            chart.descend_(chart.begin(descended), unwritten, step)
            assert_close(descended, wanted, rtol=1e-10)

    def test_dimension(self, space, network):
        weights = draw(network, members=1)
        chart = space.chart(network.graph, weights)
        hidden = sum(network.sizes[1:-1])
        assert network.graph.hidden == hidden
        m = sum(w.numel() for w in weights.values())
        assert chart.dim == (m if isinstance(space, WeightSpace) else m - hidden)
        fixed = sum(int(mask.sum()) for mask in chart.fixed().values())
        assert chart.dim == m - fixed
        for name, mask in chart.fixed().items():
            assert not chart.origin[name][mask.expand_as(chart.origin[name])].any()

    def test_stacked_equals_each_alone(self, space, network):
        weights = draw(network)
        images, labels = batch(network)
        chart = space.chart(network.graph, weights)
        together = chart.to_weights(chart.origin)
        _, grads = gradients(network, together, images, labels)
        pulled = chart.pullback(together, grads)
        moved = chart.retract(together, pulled, torch.full((3,), -1e-2, dtype=torch.float64))
        for i in range(3):
            alone = space.chart(network.graph, member(weights, i))
            start = alone.to_weights(alone.origin)
            assert_close(start, member(together, i))
            assert_close(alone.pullback(start, member(grads, i)), member(pulled, i), rtol=1e-9)
            step = torch.tensor(-1e-2, dtype=torch.float64)
            assert_close(alone.retract(start, member(pulled, i), step), member(moved, i), rtol=1e-9)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", INVARIANT)
def test_invariant_coordinates(name, network):
    weights = draw(network)
    scales = random_scales(network.graph, generator=torch.Generator().manual_seed(3))
    one = INVARIANT[name].chart(network.graph, weights)
    other = INVARIANT[name].chart(network.graph, rescale(network.graph, weights, scales))
    assert_close(other.origin, one.origin, rtol=1e-9)
    assert_close(one.to_coords(rescale(network.graph, weights, scales)), one.origin, rtol=1e-9)


def test_one_value_a_member():
    weights, values = draw(TINY), [0.5, 1.0, -2.0]
    for make in (GSpace, FixedWeightSpace):
        together = make(value=torch.tensor(values, dtype=torch.float64)).chart(TINY.graph, weights)
        for i, value in enumerate(values):
            alone = make(value=value).chart(TINY.graph, member(weights, i))
            assert_close(member(together.to_weights(together.origin), i), alone.to_weights(alone.origin))


@pytest.mark.parametrize("space", [GSpace(EXPLICIT, fix="keep"), FixedWeightSpace(EXPLICIT), CycleSpace(EXPLICIT)])
def test_explicit_skeleton(space):
    chart = space.chart(TINY.graph, draw(TINY))
    fixed = chart.fixed()["2.weight"]
    assert fixed.nonzero().tolist() == sorted([row, column] for column, row in enumerate(EXPLICIT["out"][0]))


@pytest.mark.parametrize(
    ("skeleton", "words"),
    [
        ({"out": EXPLICIT["out"][:2], "into": EXPLICIT["into"]}, "lists 2 hidden layers, the network has 3"),
        ({"out": [[6, 0, 1, 3], *EXPLICIT["out"][1:]], "into": EXPLICIT["into"]}, "4 nodes between 0 and 5"),
        ({"out": EXPLICIT["out"]}, "keys out and into"),
        ("diagonal", "there are default, maxprod"),
    ],
)
def test_impossible_skeletons_are_refused(skeleton, words):
    with pytest.raises(ValueError, match=words):
        GSpace(skeleton).chart(TINY.graph, draw(TINY))


@pytest.mark.parametrize("space", [GSpace(), FixedWeightSpace(), CycleSpace()])
def test_networks_without_hidden_nodes_are_refused(space):
    network = mlp((4, 3))
    assert not space.supports(network.graph)
    with pytest.raises(UnsupportedSpaceError, match="no hidden node"):
        space.chart(network.graph, draw(network))


def test_zero_weights_are_refused():
    weights = draw(TINY)
    weights["2.weight"][1, 0, 0] = 0
    for space in (GSpace(fix="keep"), CycleSpace(normalise="none"), FixedWeightSpace(fix="rescale")):
        with pytest.raises(ValueError, match=r"2\.weight is zero at a skeleton edge"):
            space.chart(TINY.graph, weights)
    weights = draw(TINY)
    weights["0.weight"][2, 1, 1] = 0
    with pytest.raises(ValueError, match=r"0\.weight is zero at a root"):
        GSpace(fix="keep").chart(TINY.graph, weights)
