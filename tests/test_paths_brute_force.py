"""Promise: path values, path gradients and updates equal those of brute-force enumeration, for every skeleton."""

import numpy as np
import pytest
import torch
from conftest import EXPLICIT, NETWORKS, TINY, batch, draw, member

from scaleinv import reference
from scaleinv.networks.mlp import mlp
from scaleinv.spaces import GSpace
from scaleinv.symmetry.path_norm import path_norm
from scaleinv.symmetry.skeleton import CHOICES


def as_edges(tensors, chosen):
    return np.array([tensors[name].flatten()[position].item() for name, position in chosen])


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("skeleton", CHOICES)
def test_values_gradients_and_one_update(network, skeleton):
    """What is done to the fixed weights first changes no formula; unit weights are the published case."""
    check_against_enumeration(network, GSpace(skeleton, fix="keep"))
    if skeleton == "default":
        check_against_enumeration(network, GSpace(skeleton, fix="overwrite"))


def test_explicit_skeleton():
    check_against_enumeration(TINY, GSpace(EXPLICIT, fix="keep"))


def check_against_enumeration(network, space):
    weights = member(draw(network, members=1), 0)
    chart = space.chart(network.graph, weights)
    weights = chart.to_weights(chart.origin)
    images, labels = batch(network)
    _, grads = reference.gradients(network, weights, images, labels)
    chosen = reference.basis(network, chart.skeleton)
    every = set(reference.paths(network))
    assert all(path in every for path in chosen.values())
    values = np.array([reference.path_value(weights, path) for path in chosen.values()])
    np.testing.assert_allclose(as_edges(chart.origin, chosen), values, rtol=1e-12)
    pulled = chart.pullback(weights, grads)
    wanted = np.array(list(reference.path_gradient(network, weights, grads, chart.skeleton).values()))
    np.testing.assert_allclose(as_edges(pulled, chosen), wanted, rtol=1e-8, atol=1e-8 * abs(wanted).max())
    lr = 1e-3
    moved = chart.retract(weights, pulled, torch.tensor(-lr, dtype=torch.float64))
    wanted_weights = reference.path_step(network, weights, grads, chart.skeleton, lr)
    for name in weights:
        torch.testing.assert_close(moved[name], wanted_weights[name], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("network", NETWORKS)
def test_basis_paths_are_a_basis(network):
    """Rank of the structure matrix = m - H, for all paths and for the chosen ones (thesis, theorem 2.1.2)."""
    m = len(reference.edges(network))
    everything = {(str(i), 0): path for i, path in enumerate(reference.paths(network))}
    assert np.linalg.matrix_rank(reference.exponents(network, everything)) == m - network.graph.hidden
    weights = member(draw(network, members=1), 0)
    for skeleton in CHOICES:
        chart = GSpace(skeleton, fix="keep").chart(network.graph, weights)
        matrix = reference.exponents(network, reference.basis(network, chart.skeleton))
        assert matrix.shape[0] == chart.dim == np.linalg.matrix_rank(matrix)


@pytest.mark.parametrize("network", NETWORKS)
def test_path_norm_is_the_norm_of_all_path_values(network):
    weights = member(draw(network, members=1), 0)
    values = [reference.path_value(weights, path) for path in reference.paths(network)]
    assert path_norm(network, weights).item() == pytest.approx(np.linalg.norm(values), rel=1e-12)


@pytest.mark.parametrize("sizes", [(5, 4, 4, 4, 3), (3, 4, 4, 2), (6, 5, 5, 5, 5, 7)])
def test_training_equals_the_published_update(sizes):
    """20 steps of G-SGD with unit skeleton weights follow the closed form of the public codes."""
    network = mlp(sizes)
    chart = GSpace().chart(network.graph, member(draw(network, members=1), 0))
    weights = chart.to_weights(chart.origin)
    published = [w.clone() for w in weights.values()]
    step = torch.tensor(-0.02, dtype=torch.float64)
    for k in range(20):
        images, labels = batch(network, seed=k)
        _, grads = reference.gradients(network, weights, images, labels)
        weights = chart.retract(weights, chart.pullback(weights, grads), step)
        _, grads = reference.gradients(network, dict(zip(weights, published, strict=True)), images, labels)
        published = reference.published_step(published, list(grads.values()), 0.02)
    for ours, theirs in zip(weights.values(), published, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
