"""Promise: a start changes what it says and nothing else, and depends on the member's own seed alone."""

import pytest
import torch
from conftest import NETWORKS, batch, draw

from scaleinv.networks.mlp import mlp
from scaleinv.spaces import GSpace
from scaleinv.starts import (
    BalancedStart,
    DefaultStart,
    OverwrittenStart,
    PathCondStart,
    ReparametrizedStart,
    RescaledStart,
)
from scaleinv.symmetry.skeleton import choose

KEEPING = {
    "default": DefaultStart(),
    "rescaled": RescaledStart(1.5),
    "rescaled-powers": RescaledStart(1.5, powers_of_two=True),
    "balanced": BalancedStart(),
    "pathcond": PathCondStart(),
    "reparametrized": ReparametrizedStart(),
    "reparametrized-maxprod": ReparametrizedStart("maxprod"),
}
STARTS = KEEPING | {"overwritten": OverwrittenStart(), "overwritten-half": OverwrittenStart(value=0.5, roots=False)}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("start", KEEPING.values(), ids=KEEPING.keys())
def test_function_is_kept(start, network):
    weights, (images, _) = draw(network), batch(network)
    started = start.apply(network, weights, [0, 1, 2])
    before, after = network.forward(weights, images), network.forward(started, images)
    torch.testing.assert_close(after, before, rtol=1e-9, atol=1e-9 * float(before.abs().max()))


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS.keys())
def test_stacked_equals_each_alone(start):
    network = mlp((4, 5, 3, 2), bias=True)
    weights, seeds = draw(network), [3, 1, 3]
    together = start.apply(network, weights, seeds)
    for i, seed in enumerate(seeds):
        alone = start.apply(network, {name: w[i : i + 1] for name, w in weights.items()}, [seed])
        # Gauges that are iterated stop when the last member has arrived.
        exact = not isinstance(start, BalancedStart | PathCondStart)
        for name in weights:
            torch.testing.assert_close(alone[name][0], together[name][i], rtol=0 if exact else 1e-10, atol=0)


def test_overwritten_equals_what_g_space_does():
    network = mlp((5, 4, 4, 4, 3))
    weights = draw(network)
    started = OverwrittenStart(value=0.7).apply(network, weights, [0, 1, 2])
    chart = GSpace(value=0.7).chart(network.graph, weights)
    assert all(torch.equal(started[name], chart.weights[name]) for name in weights)
    without_roots = OverwrittenStart(roots=False).apply(network, weights, [0, 1, 2])
    first = network.chain[0].weight
    assert torch.equal(without_roots[first], weights[first])
    assert not torch.equal(started[first], weights[first])


def test_reparametrized_ends_at_plus_or_minus_one():
    network = mlp((6, 5, 4, 3))
    weights = draw(network)
    started = ReparametrizedStart("maxprod").apply(network, weights, [0, 1, 2])
    skeleton = choose("maxprod", network.graph, weights)
    for pick in skeleton.out:
        torch.testing.assert_close(pick.read(started[pick.name]).abs(), torch.ones(3, len(pick.classes)).double())


def test_sigma_only_stretches_one_draw():
    """Runs that differ in sigma are paired: log lambda is proportional to it."""
    network = mlp((3, 4, 2))
    ones = {name: torch.ones(1, *shape, dtype=torch.float64) for name, shape in network.graph.shapes.items()}
    name = network.chain[0].weight
    logs = [RescaledStart(sigma).apply(network, ones, [7])[name].log() for sigma in (0.0, 0.5, 2.0)]
    assert torch.equal(logs[0], torch.zeros_like(logs[0]))
    torch.testing.assert_close(logs[2], 4 * logs[1])
    other = RescaledStart(0.5).apply(network, ones, [8])[name].log()
    assert not torch.equal(other, logs[1])


@pytest.mark.parametrize(("cls", "options"), [(RescaledStart, {"sigma": -1.0}), (OverwrittenStart, {"value": 0.0})])
def test_nonsense_is_refused(cls, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        cls(**options)
