"""Promise: every space keeps the same laws, on every network, for stacks and for members alone."""

from dataclasses import dataclass
from functools import cached_property

import pytest
import torch
from conftest import EXPLICIT, INVARIANT, OTHERS, TINY, assert_close, draw, member
from small_networks import BY_HAND, CHAINS, DESCRIBED, ByHand, Chain, Described
from torch import Tensor

from scaleinv.networks.mlp import mlp
from scaleinv.runs.registry import find, names
from scaleinv.spaces import (
    Chart,
    CycleSpace,
    FixedWeightSpace,
    GSpace,
    ParameterSpace,
    UnsupportedSpaceError,
    WeightSpace,
)
from scaleinv.symmetry.group import random_scales, rescale

EVERY = INVARIANT | OTHERS
REGISTERED = [find("scaleinv.spaces", name, ParameterSpace) for name in names("scaleinv.spaces")]
STEP = torch.tensor([-1e-2, -1e-3, 1e-4], dtype=torch.float64)


@dataclass
class Place:
    """A space's chart of a network, and what the laws compare there."""

    space: ParameterSpace
    network: Chain | ByHand | Described

    @cached_property
    def drawn(self) -> dict[str, Tensor]:
        """Weights of three members."""
        return draw(self.network)

    @cached_property
    def chart(self) -> Chart:
        """The chart made at them."""
        return self.space.chart(self.network.graph, self.drawn)

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """The chart's starting network."""
        return self.chart.to_weights(self.chart.origin)

    @cached_property
    def grads(self) -> dict[str, Tensor]:
        """Gradients by these weights."""
        return {name: g.clone() for name, g in self.network.gradient(self.weights).whole(self.weights).items()}

    @cached_property
    def pulled(self) -> dict[str, Tensor]:
        """Gradients by the coordinates."""
        return self.chart.pullback(self.weights, self.grads)


def law_function_is_kept(at):
    before, after = (at.network.forward(weights) for weights in (at.drawn, at.weights))
    if getattr(at.space, "fix", "keep") == "overwrite":
        assert not torch.allclose(after, before)
    else:
        torch.testing.assert_close(after, before, rtol=1e-10, atol=1e-12)


def law_round_trip(at):
    assert_close(at.weights, at.chart.weights)
    assert_close(at.chart.to_coords(at.weights), at.chart.origin)
    assert_close(at.chart.to_weights(at.chart.to_coords(at.weights)), at.weights)


def law_pullback_is_autograd(at):
    leaves = {name: c.clone().requires_grad_() for name, c in at.chart.origin.items()}
    weights = at.chart.to_weights(leaves)
    inner = sum((weights[name] * at.grads[name]).sum() for name in weights)
    wanted = torch.autograd.grad(inner, list(leaves.values()))
    assert_close(at.pulled, dict(zip(leaves, wanted, strict=True)), rtol=1e-9)


def law_retract_is_a_step_in_the_coordinates(at):
    moved = {name: c + STEP.view(-1, *[1] * (c.dim() - 1)) * at.pulled[name] for name, c in at.chart.origin.items()}
    assert_close(at.chart.retract(at.weights, at.pulled, STEP), at.chart.to_weights(moved), rtol=1e-8)


def law_descent_is_pullback_then_retract(at):
    wanted, descended = at.chart.start(), at.chart.start()
    for k in range(2):
        grads = at.network.gradient(wanted, k).whole(wanted)
        frame = at.chart.begin(wanted)
        at.chart.retract_(frame, at.chart.pullback_(frame, grads), STEP)
        at.chart.descend_(at.chart.begin(descended), at.network.gradient(descended, k), STEP)
        assert_close(descended, wanted, rtol=1e-10)


def law_dimension_is_parameters_less_hidden_nodes(at):
    fixed = at.chart.fixed()
    lost = 0 if isinstance(at.space, WeightSpace) else at.network.graph.hidden
    masks = {name: mask.expand_as(at.drawn[name]) for name, mask in fixed.items()}
    assert at.chart.dim == at.network.graph.parameters - lost
    assert sum(int(mask.sum()) for mask in masks.values()) == 3 * lost
    assert not any(at.chart.origin[name][mask].any() for name, mask in masks.items())


def law_stacked_equals_each_alone(at):
    moved = at.chart.retract(at.weights, at.pulled, STEP)
    for i in range(3):
        alone = at.space.chart(at.network.graph, member(at.drawn, i))
        start = alone.to_weights(alone.origin)
        assert_close(start, member(at.weights, i))
        assert_close(alone.pullback(start, member(at.grads, i)), member(at.pulled, i), rtol=1e-9)
        assert_close(alone.retract(start, member(at.pulled, i), STEP[i]), member(moved, i), rtol=1e-9)


def law_rescaled_networks_have_the_same_coordinates(at):
    if at.space not in INVARIANT.values():
        return
    scales = random_scales(at.network.graph, generator=torch.Generator().manual_seed(3))
    rescaled = rescale(at.network.graph, at.drawn, scales)
    assert_close(at.space.chart(at.network.graph, rescaled).origin, at.chart.origin, rtol=1e-9)
    assert_close(at.chart.to_coords(rescaled), at.chart.origin, rtol=1e-9)


LAWS = [law for name, law in globals().items() if name.startswith("law_")]


@pytest.mark.parametrize("network", CHAINS | BY_HAND | DESCRIBED)
@pytest.mark.parametrize("space", EVERY)
def test_laws(space, network):
    at = Place(EVERY[space], (CHAINS | BY_HAND | DESCRIBED)[network])
    assert len(LAWS) == 8
    for law in LAWS:
        law(at)


def test_every_space_keeps_the_laws():
    assert {type(space) for space in EVERY.values()} == set(REGISTERED)


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


@pytest.mark.parametrize("space", [cls() for cls in REGISTERED if cls is not WeightSpace])
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
