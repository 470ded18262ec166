"""Promise: every model obeys the laws of rescaling, gauges and charts: models of every kind, and random ones."""

import pytest
import torch
from conftest import assert_close
from test_describe import drawn, outputs

from scaleinv.spaces import CycleSpace, GSpace
from scaleinv.symmetry.balance import alive, balance
from scaleinv.symmetry.group import random_scales, rescale
from scaleinv.symmetry.trace import describe

# One for every kind of operation.
KINDS = (
    *("prelu", "divided_channels", "residual", "gate", "scaled_block", "einsums"),
    *("grouped_and_depthwise", "transposed_convolutions", "pools", "padded_shortcut", "residual_with_batch_norm"),
)


def check(model, network, images):
    """Check all laws of one model, in float64."""
    graph, generator = network.graph, torch.Generator().manual_seed(1)
    weights = {name: p.detach() for name, p in model.named_parameters()}

    def same(other, tolerance=1e-9):
        for training in (False, True):
            wanted, found = (outputs(model, w, images, training).detach() for w in (weights, other))
            if tolerance:
                torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance * float(wanted.abs().max()))
            else:
                assert torch.equal(found, wanted)

    same(rescale(graph, weights, random_scales(graph, 2.0, powers_of_two=True, generator=generator)), tolerance=0)
    check_gauge(graph, weights, generator, same)
    for space in (
        CycleSpace("maxprod"),
        GSpace("maxprod", fix="keep"),
        GSpace("maxprod", fix="keep", normalise="balanced"),
    ):
        support = space.supports(graph)
        if support:
            check_chart(space, graph, weights, generator, same)
        else:
            assert all(support.reasons)


def check_gauge(graph, weights, generator, same):
    """The balanced gauge keeps the function, is unique, stays, and is the smallest."""
    if not alive(graph, weights).all():
        with pytest.raises(ValueError, match="no non-zero weight on one side"):
            balance(graph, weights)
        same(balance(graph, weights, dead="keep"))
        return
    balanced = balance(graph, weights)
    same(balanced)
    assert_close(balance(graph, balanced), balanced)
    scales = random_scales(graph, generator=generator)
    assert_close(balance(graph, rescale(graph, weights, scales)), balanced, rtol=1e-9)
    size = lambda w: sum(t.square().sum() for t in w.values())  # noqa: E731
    nearby = rescale(graph, balanced, random_scales(graph, 0.01, generator=generator))
    assert size(balanced) <= size(nearby)
    assert size(balanced) <= size(weights)


def check_chart(space, graph, weights, generator, same):
    """Dimension, function, round trip, invariance, and the pullback of a gradient."""
    chart = space.chart(graph, weights)
    assert chart.dim == graph.parameters - graph.hidden
    same(chart.weights)
    coords = chart.origin
    assert_close(chart.to_weights(coords), chart.weights, rtol=1e-12)
    other = rescale(graph, weights, random_scales(graph, generator=generator))
    assert_close(space.chart(graph, other).origin, coords, rtol=1e-8)
    grads = {name: torch.randn(w.shape, generator=generator, dtype=w.dtype) for name, w in weights.items()}
    leaves = {name: c.detach().requires_grad_() for name, c in coords.items()}
    total = sum((w * grads[name]).sum() for name, w in chart.to_weights(leaves).items())
    wanted = torch.autograd.grad(total, list(leaves.values()), materialize_grads=True)
    fixed = chart.fixed()
    free = lambda tensors: {  # noqa: E731
        name: t.masked_fill(fixed[name], 0.0) if name in fixed else t for name, t in tensors.items()
    }
    assert_close(chart.pullback(chart.weights, grads), free(dict(zip(leaves, wanted, strict=True))), rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_models_of_every_kind(kind):
    check(*drawn(kind))


def test_random_models():
    hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed; it is in requirements.lock")
    from random_models import RECIPES, Cooked

    @hypothesis.settings(max_examples=4, derandomize=True, deadline=None, database=None)
    @hypothesis.given(recipe=RECIPES)
    def obeys(recipe):
        torch.manual_seed(0)
        model = Cooked(recipe).double()
        images = torch.randn(5, 2, 4, 4, dtype=torch.float64)
        check(model, describe(model, images), images)

    obeys()
