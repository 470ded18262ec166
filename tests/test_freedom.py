"""Promise: degrees of freedom are ranks of Jacobians, of paths and of outputs on data (P4, section 7)."""

import numpy as np
import pytest
import torch
from conftest import KINDS, batch, draw, member
from small_networks import DESCRIBED, MODULES

from scaleinv import reference
from scaleinv.networks.lenet import LeNet
from scaleinv.networks.mlp import mlp
from scaleinv.symmetry import freedom
from scaleinv.symmetry.freedom import LIMIT, data_ranks, path_gram, path_rank, probed_path_rank

NETWORKS = KINDS | {"figure 2 of P4": mlp((2, 2, 2, 1))}


def path_jacobian(network, weights):
    """By enumeration: a row per path, a column per weight."""
    columns = {edge: i for i, edge in enumerate(reference.edges(network))}
    rows = []
    for path in reference.paths(network):
        row = np.zeros(len(columns))
        for edge in path:
            row[columns[edge]] = reference.path_value(weights, tuple(e for e in path if e != edge))
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("kind", NETWORKS)
def test_rank_of_the_path_jacobian_is_that_of_enumeration(kind):
    network = NETWORKS[kind]
    weights = member(draw(network, 1), 0)
    jacobian = path_jacobian(network, weights)
    order = [(name, i) for name, w in weights.items() for i in range(w.numel())]
    columns = [reference.edges(network).index(edge) for edge in order]
    wanted = torch.from_numpy(jacobian[:, columns])
    torch.testing.assert_close(path_gram(network, weights), wanted.T @ wanted, rtol=1e-11, atol=1e-12)
    generic = network.graph.parameters - network.graph.hidden
    assert path_rank(network, weights) == np.linalg.matrix_rank(jacobian) == generic


def test_the_example_of_the_source():
    network = NETWORKS["figure 2 of P4"]
    assert (network.graph.parameters, len(list(reference.paths(network)))) == (10, 8)
    assert path_rank(network, member(draw(network, 1), 0)) == 6


def test_a_residual_network_loses_one_degree_per_free_class():
    network = MODULES["residual"]
    weights = member(draw(network, 1), 0)
    assert path_rank(network, weights) == network.graph.parameters - network.graph.hidden


def test_where_weights_are_zero_the_rank_is_lower():
    """A node without outgoing weights: its incoming weights are on no path that depends on them."""
    network = mlp((3, 4, 3, 2), bias=True)
    weights = member(draw(network, 1), 0)
    weights["2.weight"][:, 1] = 0.0
    weights["0.weight"][0, 2] = 0.0
    found = path_rank(network, weights)
    assert found == np.linalg.matrix_rank(path_jacobian(network, weights))
    assert found < network.graph.parameters - network.graph.hidden


def generator():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("kind", [*NETWORKS, *MODULES, "projection", "grouped_and_depthwise"])
def test_probes_find_the_rank_of_the_gram_matrix(kind):
    network = (NETWORKS | MODULES | {name: at.network for name, at in DESCRIBED.items()})[kind]
    weights = member(draw(network, 1), 0)
    found = probed_path_rank(network, weights, probes=3, generator=generator())
    assert found.rank == path_rank(network, weights)
    assert found.error < 1e-9


def test_probes_find_lower_ranks_where_weights_are_zero():
    """Dead nodes, a node without outgoing weights, and zeros that are alone on a path."""
    network = mlp((3, 4, 3, 2), bias=True)
    weights = member(draw(network, 1), 0)
    for name, place in (("2.weight", (slice(None), 1)), ("0.weight", (0, 2)), ("0.weight", 3), ("0.bias", 3)):
        weights[name][place] = 0.0
        assert probed_path_rank(network, weights, generator=generator()).rank == path_rank(network, weights)
    assert path_rank(network, weights) < network.graph.parameters - network.graph.hidden - 3


@pytest.mark.parametrize("make", [lambda: mlp((784, 64, 64, 64, 64, 10)), lambda: LeNet().network((1, 28, 28), 10)])
def test_probes_count_real_networks_in_a_few_products(make):
    network = make()
    found = probed_path_rank(network, member(network.init([0]), 0), generator=generator())
    assert found.rank == network.graph.parameters - network.graph.hidden > 60_000
    assert found.error < 1e-6
    assert found.steps < 20


def test_probes_notice_a_kernel_that_is_larger_than_the_orbit(monkeypatch):
    """As they do where a scale of weights before batch norm is left that its statistics of zero mean do not see."""
    network = DESCRIBED["residual_with_batch_norm"].network
    weights = member(draw(network, 1), 0)
    assert path_rank(network, weights) < network.graph.parameters - network.graph.hidden
    with pytest.raises(RuntimeError, match="larger than the tangents"):
        probed_path_rank(network, weights, generator=generator(), steps=100)
    monkeypatch.setattr(freedom, "along_orbit", lambda graph, w, step: {name: 0 * s for name, s in step.items()})
    with pytest.raises(RuntimeError, match="larger than the tangents"):
        probed_path_rank(
            NETWORKS["straight"], member(draw(NETWORKS["straight"], 1), 0), generator=generator(), steps=100
        )


def test_the_rank_on_data_grows_to_at_most_that_of_the_paths():
    """Theorem 3: n samples give at most n times outputs; the paths are the limit, and wide networks reach it."""
    network = mlp((4, 8, 3), bias=True)
    weights, (images, _) = member(draw(network, 1), 0), batch(network, 64)
    counts = (1, 2, 4, 8, 16, 32, 64)
    ranks = list(data_ranks(network, weights, images, counts))
    limit = network.graph.parameters - network.graph.hidden
    assert ranks == sorted(ranks)
    assert all(rank <= min(3 * n, limit) for rank, n in zip(ranks, counts, strict=True))
    assert ranks[:3] == [3, 6, 12]
    assert ranks[-1] == limit


def test_what_is_too_large_is_refused():
    network = mlp((100, 50, 10))
    with pytest.raises(ValueError, match=f"Gram matrix of {network.graph.parameters} weights is too large"):
        path_gram(network, member(draw(network, 1), 0))
    assert network.graph.parameters > LIMIT
