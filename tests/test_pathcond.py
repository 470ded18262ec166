"""Promise: PathCond finds the minimum that its authors' loop over nodes finds, whatever the gauge, for all at once."""

import math

import pytest
import torch
from conftest import TINY, assert_close, batch, draw, gradient, member
from small_networks import DESCRIBED, MODULES

from scaleinv.networks.mlp import mlp
from scaleinv.symmetry.group import random_scales, rescale
from scaleinv.symmetry.path_norm import path_curvature
from scaleinv.symmetry.pathcond import PathCond, condition
from scaleinv.training.autograd import AutogradEngine

NETWORKS = {"chain": TINY, "valley": mlp((4, 6, 2, 7, 3), bias=True), **MODULES}


def incidence(graph):
    """Rows e, columns of the free classes: +1 at the tail, -1 at the head."""
    rows = []
    for name, e in graph.edges.items():
        heads, tails = (end.expand(graph.shapes[name]).flatten() for end in (e.head, e.tail))
        for head, tail in zip(heads.tolist(), tails.tolist(), strict=True):
            row = torch.zeros(graph.hidden + 1, dtype=torch.float64)
            row[tail] += 1
            row[head] -= 1
            rows.append(row[1:])
    return torch.stack(rows)


def objective(B, kappa, z):
    p = len(kappa)
    return p * (torch.logsumexp(kappa.log() + B @ z, 0) - math.log(p)) - (B @ z).sum()


def loop_over_nodes(B, kappa, sweeps=100):
    """One node after the other, each to its minimum, the positive root of a quadratic polynomial (their algorithm)."""
    p, z = len(kappa), torch.zeros(B.shape[1], dtype=torch.float64)
    for _ in range(sweeps):
        for node in range(len(z)):
            own = B[:, node]
            rest = kappa * (B @ z - own * z[node]).exp()
            out, into, others = (rest[own == s].sum() for s in (1, -1, 0))
            surplus = (own == 1).sum() - (own == -1).sum()
            a, b, c = out * (surplus * -1 + p), -others * surplus, -into * (p + surplus)
            z[node] = ((-b + (b * b - 4 * a * c).sqrt()) / (2 * a)).log()
    return z


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_minimum_is_that_of_the_loop_over_nodes(kind):
    network = NETWORKS[kind]
    weights = draw(network, 2)
    problem = PathCond(network.graph, path_curvature(network, weights))
    z = problem.solve()
    B = incidence(network.graph)
    for i in range(2):
        kappa = torch.cat([k[i].flatten() for k in problem.curvature.values()])
        wanted = loop_over_nodes(B, kappa)
        lowest = objective(B, kappa, wanted)
        assert objective(B, kappa, torch.zeros_like(wanted)) - lowest > 1e-3
        assert problem.value(z)[i].item() == pytest.approx(lowest.item(), rel=1e-6)
        torch.testing.assert_close(z[i, 1:], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_result_depends_on_the_orbit_alone_and_keeps_the_function(kind):
    network = NETWORKS[kind]
    weights = draw(network, 2)
    scales = random_scales(network.graph, generator=torch.Generator().manual_seed(4))
    conditioned = condition(network, weights)
    assert_close(condition(network, rescale(network.graph, weights, scales)), conditioned, 1e-9)
    powers = random_scales(network.graph, 2.0, True, torch.Generator().manual_seed(4))
    same = condition(network, rescale(network.graph, weights, powers))
    assert all(torch.equal(same[name], w) for name, w in conditioned.items())
    images, _ = batch(network)
    torch.testing.assert_close(
        network.forward(conditioned, images), network.forward(weights, images), rtol=1e-9, atol=1e-9
    )
    assert not torch.allclose(conditioned[next(iter(weights))], weights[next(iter(weights))], rtol=1e-3)


def test_a_stack_equals_each_alone():
    weights = draw(TINY, 3)
    together = condition(TINY, weights)
    for i in range(3):
        alone = condition(TINY, {name: w[i : i + 1] for name, w in weights.items()})
        assert_close(member(alone, 0), member(together, i), 1e-10)


def test_a_node_without_a_path_keeps_its_scale():
    weights = draw(TINY, 1)
    weights["2.weight"][0, :, 1] = 0.0
    problem = PathCond(TINY.graph, path_curvature(TINY, weights))
    assert problem.solve()[0, 2] == 0
    assert all(w.isfinite().all() for w in condition(TINY, weights).values())


# Batch norm: what is rescaled are its own parameters and the weights after it, not the weights before it.
NORMED = DESCRIBED["residual_with_batch_norm"].network


def in_training_mode(weights):
    """Compute the outputs of the first step, with the statistics of its batch."""
    engine = AutogradEngine(NORMED, NORMED.buffers(len(weights["head.weight"]), torch.float64))
    return gradient(engine, weights, *batch(NORMED, 16))[0].clone()


def test_through_batch_norm_the_first_step_computes_the_same_function():
    weights = draw(NORMED, 2)
    conditioned = condition(NORMED, weights)
    torch.testing.assert_close(in_training_mode(conditioned), in_training_mode(weights), rtol=1e-12, atol=1e-12)
    ratios = {name: (w / weights[name]).flatten(1) for name, w in conditioned.items()}
    assert all((ratios[name] - 1).abs().max() < 1e-12 for name in ("stem.0.weight", "head.bias"))
    for name in ("stem.1.weight", "stem.1.bias", "block.0.weight", "block.1.weight", "block.3.weight", "head.weight"):
        assert (ratios[name] - 1).abs().max() > 1e-2, name


def test_through_batch_norm_the_minimum_is_that_of_the_loop_over_nodes():
    weights = draw(NORMED, 1)
    problem = PathCond(NORMED.graph, path_curvature(NORMED, weights, NORMED.buffers(1, torch.float64)))
    B, kappa = incidence(NORMED.graph), torch.cat([k[0].flatten() for k in problem.curvature.values()])
    wanted, found = loop_over_nodes(B, kappa), problem.solve()
    lowest = objective(B, kappa, wanted)
    assert objective(B, kappa, torch.zeros_like(wanted)) - lowest > 1e-3
    assert problem.value(found).item() == pytest.approx(lowest.item(), rel=1e-6)
    torch.testing.assert_close(found[0, 1:], wanted, rtol=1e-5, atol=1e-6)


def test_rows_before_batch_norm_are_no_rescaling():
    """As the public code for residual networks has it: rows before the norm and its shift, against columns after it."""
    weights = draw(NORMED, 1)
    scale = torch.tensor([0.5, 2.0, 4.0], dtype=torch.float64)
    moved = dict(weights)
    moved["block.0.weight"] = weights["block.0.weight"] * scale[:, None, None, None]
    moved["block.1.bias"] = weights["block.1.bias"] * scale
    moved["block.3.weight"] = weights["block.3.weight"] / scale[:, None, None]
    assert (in_training_mode(moved) - in_training_mode(weights)).abs().max() > 1e-2
    moved["block.0.weight"] = weights["block.0.weight"]
    moved["block.1.weight"] = weights["block.1.weight"] * scale
    torch.testing.assert_close(in_training_mode(moved), in_training_mode(weights), rtol=1e-12, atol=1e-12)
