"""Promise: rescaling keeps the function, and gauges are what they say."""

import time
from itertools import pairwise

import pytest
import torch
from conftest import NETWORKS, TINY, assert_close, batch, draw, member
from small_networks import BY_HAND, CHAINS, Chain

from scaleinv.networks.mlp import mlp
from scaleinv.reference import gradients
from scaleinv.runs.tasks.count_invariances import jacobian_rank
from scaleinv.spaces import CycleSpace, FixedWeightSpace, GSpace, WeightSpace
from scaleinv.symmetry.balance import balance
from scaleinv.symmetry.group import random_scales, reparametrize, rescale
from scaleinv.symmetry.path_norm import path_norm
from scaleinv.symmetry.skeleton import CHOICES

GENERATOR = torch.Generator().manual_seed(2)


EVERY_KIND = [pytest.param(case, id=name) for name, case in (CHAINS | BY_HAND).items()]


def assert_same_function(case, found, wanted, tolerance=1e-10):
    torch.testing.assert_close(case.forward(found), case.forward(wanted), rtol=tolerance, atol=tolerance)


def is_rescaled(case, name):
    """Whether an entry of the tensor has a hidden node at one end."""
    return any(getattr(case.graph.edges[name], end).any() for end in ("head", "tail"))


def rescaled(network, weights, **options):
    return rescale(network.graph, weights, random_scales(network.graph, generator=GENERATOR, **options))


@pytest.mark.parametrize("case", EVERY_KIND)
def test_rescaling_keeps_the_function(case):
    """To round-off, and to the last bit by powers of two."""
    weights = draw(case)
    other = rescaled(case, weights)
    assert not any(torch.allclose(other[name], w) for name, w in weights.items() if is_rescaled(case, name))
    assert_same_function(case, other, weights)
    weights = draw(case, dtype=torch.float32)
    other = rescaled(case, weights, sigma=2.0, powers_of_two=True, dtype=torch.float32)
    assert torch.equal(case.forward(other), case.forward(weights))


@pytest.mark.parametrize("network", NETWORKS)
def test_rescaling_keeps_the_path_norm(network):
    weights = draw(network)
    torch.testing.assert_close(
        path_norm(network, rescaled(network, weights)), path_norm(network, weights), rtol=1e-10, atol=0
    )


@pytest.mark.parametrize("network", NETWORKS)
def test_conservation_law(network):
    """Per hidden node, sum of g w over the edges in = over the edges out (maths.md, eq. 2)."""
    weights = member(draw(network, members=1), 0)
    _, grads = gradients(network, weights, *batch(network))
    for c in range(1, network.graph.hidden + 1):
        totals = [
            sum(
                (grads[n] * weights[n])[(getattr(e, end) == c).expand(network.graph.shapes[n])].sum()
                for n, e in network.graph.edges.items()
            )
            for end in ("head", "tail")
        ]
        torch.testing.assert_close(*totals, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("network", NETWORKS)
def test_number_of_invariances_is_the_number_of_hidden_nodes(network):
    """The rank of the orbit's tangent is H, dependencies or not (maths.md, theorem 1; against thesis, 6.1.1)."""
    weights = member(draw(network, members=1), 0)
    logs = torch.zeros(network.graph.hidden, dtype=torch.float64)

    def orbit(logs):
        moved = rescale(network.graph, weights, logs.exp())
        return torch.cat([w.flatten() for w in moved.values()])

    tangent = torch.autograd.functional.jacobian(orbit, logs)
    assert torch.linalg.matrix_rank(tangent) == network.graph.hidden


@pytest.mark.parametrize(
    ("sizes", "bias", "slope", "rank"),
    [
        ((3, 4, 3, 2), False, 0.0, 23),
        ((2, 2, 2, 2), False, 0.1, 8),
        ((2, 3, 1, 2), False, 0.0, 7),
        ((2, 1, 1, 2), False, 0.0, 3),
        ((2, 1, 5, 2), True, 0.1, 19),
        # One node, no bias: the rest is linear in it on each side of zero, and ReLU leaves one side.
        ((2, 1, 5, 2), False, 0.0, 3),
        ((2, 1, 5, 2), False, 0.1, 5),
        ((1, 3, 2), False, 0.0, 4),
    ],
)
def test_rank_of_the_jacobian_and_where_it_is_less_than_m_minus_k(sizes, bias, slope, rank):
    network = mlp(sizes, bias, slope)
    found = max(jacobian_rank(network, seed, 100) for seed in range(30))
    assert found == rank
    is_narrow = not bias and sizes[-3] == 1 and sizes[-2] > 1
    assert (found < network.graph.parameters - network.graph.hidden) == is_narrow


@pytest.mark.parametrize("case", EVERY_KIND)
def test_balance(case):
    """At every hidden node the squares in and out have one sum; all rescalings have one balanced network."""
    weights = draw(case)
    balanced = balance(case.graph, weights)
    assert_same_function(case, balanced, weights)
    sums = {end: torch.zeros(3, case.graph.hidden + 1, dtype=torch.float64) for end in ("head", "tail")}
    for name, w in balanced.items():
        for end, total in sums.items():
            at = getattr(case.graph.edges[name], end).expand(case.graph.shapes[name]).flatten()
            total.index_add_(-1, at, w.square().flatten(1))
    torch.testing.assert_close(sums["head"][:, 1:], sums["tail"][:, 1:], rtol=1e-9, atol=0)
    assert_close(balance(case.graph, rescaled(case, weights)), balanced, rtol=1e-9)
    exact = rescaled(case, weights, sigma=3.0, powers_of_two=True)
    assert_close(balance(case.graph, exact), balanced, rtol=0)


@pytest.mark.parametrize("hidden", [[64] * 32, [512, 512]])
def test_balancing_takes_no_time_to_speak_of(hidden):
    """The cost grows with the parameters; one pass after another over the layers took minutes for 32 of them."""
    network = mlp((784, *hidden, 10))
    weights = network.init([0])
    began = time.process_time()
    balanced = balance(network.graph, weights)
    assert time.process_time() - began < 2
    for one, other in pairwise(network.chain):
        into, out = balanced[one.weight].square().sum(-1), balanced[other.weight].square().sum(-2)
        torch.testing.assert_close(into, out, rtol=1e-5, atol=0)


def test_balance_from_far_away():
    """Layers and weights of very different sizes, each member with its own way to go."""
    network = mlp((20, 16, 16, 16, 4), bias=True)
    weights = draw(network)
    spread = torch.Generator().manual_seed(0)
    weights = {n: w * (6 * torch.randn(w.shape, generator=spread, dtype=w.dtype)).exp() for n, w in weights.items()}
    weights["2.weight"][1] *= 1e-30
    balanced = balance(network.graph, weights)
    images, _ = batch(network)
    wanted = network.forward(weights, images)
    torch.testing.assert_close(network.forward(balanced, images) / wanted, torch.ones_like(wanted), rtol=1e-9, atol=0)
    for one, other in pairwise(network.chain):
        into = balanced[one.weight].square().sum(-1) + balanced[one.bias].square()
        torch.testing.assert_close(into, balanced[other.weight].square().sum(-2), rtol=1e-10, atol=0)
    for i in range(3):
        alone = balance(network.graph, member(weights, i))
        assert_close(alone, member(balanced, i))


def test_a_node_without_outgoing_weights_cannot_be_balanced():
    weights = draw(TINY)
    weights["2.weight"][0, :, 1] = 0
    with pytest.raises(ValueError, match=r"2\.weight.*: a hidden node has no non-zero weight"):
        balance(TINY.graph, weights)


def test_dead_channels_may_be_kept_and_the_others_are_balanced_without_them():
    """Dead is also what only dead nodes read, and what only dead nodes feed."""
    network = mlp((4, 5, 5, 5, 3))
    weights = draw(network)
    weights["2.weight"][0, :, 1] = 0  # nobody reads node 2
    weights["4.weight"][1, :4, 2] = 0  # only the last node of the third layer reads node 3 of the second,
    weights["6.weight"][1, :, 4] = 0  # and nobody reads that
    weights["0.weight"][2, 3] = 0  # nothing leads into node 4
    kept = balance(network.graph, weights, dead="keep")
    assert_same_function(Chain(network), kept, weights)
    scales = random_scales(network.graph, generator=GENERATOR).repeat(3, 1)
    scales[0, 1] = scales[1, 7] = scales[1, 14] = scales[2, 3] = 1.0
    assert_close(balance(network.graph, rescale(network.graph, weights, scales), dead="keep"), kept)
    assert torch.equal(kept["0.weight"][0, 1], weights["0.weight"][0, 1])
    for i, (alive, layer) in enumerate([([0, 2, 3, 4], "0"), ([0, 1, 3, 4], "2"), ([0, 1, 2, 4], "0")]):
        names = [f"{int(layer) + 2 * step}.weight" for step in (0, 1)]
        one, other = kept[names[0]][i][alive], kept[names[1]][i][:, alive]
        if i == 1:
            other = other[:4]
        torch.testing.assert_close(one.square().sum(-1), other.square().sum(-2), rtol=1e-10, atol=0)


@pytest.mark.parametrize("case", EVERY_KIND)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_reparametrize_ends_at_exactly_one(case, dtype):
    weights = draw(case, dtype=dtype)
    for choice in CHOICES:
        changed, skeleton = reparametrize(case.graph, weights, choice)
        assert_same_function(case, changed, weights, 1e-4 if dtype == torch.float32 else 1e-10)
        assert sum(pick.index.shape[-1] for pick in skeleton.out) == case.graph.hidden
        for pick in skeleton.out:
            assert (pick.read(changed[pick.name]).abs() == 1).all(), choice


def test_the_hungarian_choice_needs_smaller_factors_than_the_diagonal():
    network = mlp((64, 32, 32, 32, 10))
    weights = network.init(range(5), torch.float64)

    def spread(choice):
        changed, _ = reparametrize(network.graph, weights, choice)
        return sum((changed[n].abs().log() - weights[n].abs().log()).square().mean() for n in weights)

    assert spread("hungarian") < 0.5 * spread("default")


def test_only_the_logarithmic_matching_is_invariant():
    """Thesis 6.3.1's cost may choose otherwise for a rescaled network; -log |D W| may not (maths.md, 2.7)."""
    network = mlp((6, 8, 8, 4))
    changed = {"hungarian": 0, "log_hungarian": 0}
    for seed in range(20):
        weights = network.init([seed], torch.float64)
        other = rescaled(network, weights)
        for choice in changed:
            one, two = (reparametrize(network.graph, w, choice)[1] for w in (weights, other))
            changed[choice] += any(not torch.equal(p.index, q.index) for p, q in zip(one.out, two.out, strict=True))
    assert changed["log_hungarian"] == 0
    assert changed["hungarian"] > 0


DEEP = mlp((10, *[64] * 32, 4))


@pytest.mark.parametrize(
    "chart",
    [
        GSpace(fix="keep").chart,
        GSpace(fix="keep", normalise="balanced").chart,
        GSpace(fix="rescale").chart,
        GSpace(value=1e-3).chart,
        CycleSpace(normalise="none").chart,
        FixedWeightSpace(fix="rescale").chart,
        reparametrize,
    ],
)
@pytest.mark.parametrize("factor", [1.0, 1e3])
def test_products_that_leave_their_range_are_refused(chart, factor):
    """32 layers of PyTorch's initialisation: 1e-43 in a float32; 1e3 times as large, they overflow."""
    weights = {name: factor * w for name, w in DEEP.init([0]).items()}
    if factor == 1:
        # Of two members only one is too deep for its weights.
        weights = {name: torch.cat([w.sign(), w]) for name, w in weights.items()}
    with pytest.raises(ValueError, match=r"leave the range of float32.*maxprod"):
        chart(DEEP.graph, weights)


@pytest.mark.parametrize(
    "space", [GSpace("maxprod", fix="rescale"), CycleSpace(), FixedWeightSpace("maxprod", fix="rescale")]
)
def test_deep_networks_train_with_products_in_range(space):
    weights = DEEP.init([0, 1])
    images = batch(DEEP, dtype=torch.float32)[0]
    chart = space.chart(DEEP.graph, weights)
    outputs = DEEP.forward(weights, images)
    assert_close(chart.to_weights(chart.origin), chart.weights, rtol=1e-4)
    torch.testing.assert_close(DEEP.forward(chart.weights, images), outputs, rtol=1e-3, atol=1e-6)
    again = chart.at(rescaled(DEEP, weights, powers_of_two=True, dtype=torch.float32))
    torch.testing.assert_close(DEEP.forward(again.weights, images), outputs, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(bad):
    weights = draw(TINY)
    weights["4.weight"][1, 0, 0] = bad
    for make in (*(s().chart for s in (WeightSpace, GSpace, FixedWeightSpace, CycleSpace)), reparametrize, balance):
        with pytest.raises(ValueError, match=r"4\.weight is not finite"):
            make(TINY.graph, weights)


def test_reparametrize_one_layer():
    network = mlp((3, 2))
    weights = draw(network)
    changed, skeleton = reparametrize(network.graph, weights)
    assert_close(changed, weights, rtol=0)
    assert skeleton.out == ()
