"""Promise: the soft balancing penalty is zero in the balanced gauge only, and moves along the orbit."""

import pytest
import torch
from conftest import TINY, draw
from small_networks import MODULES

from scaleinv.networks.mlp import mlp
from scaleinv.penalties import SoftBalance
from scaleinv.probes.base import Scene
from scaleinv.spaces import WeightSpace
from scaleinv.symmetry.balance import balance
from scaleinv.symmetry.group import random_scales, rescale

NETWORKS = {"chain": TINY, **MODULES}


def term(network, weights, strength=1.0):
    chart = WeightSpace().chart(network.graph, weights)
    return SoftBalance(strength=strength).attach(Scene(network, chart, None, (), weights, None))


@pytest.mark.parametrize("kind", NETWORKS)
def test_it_is_zero_in_the_balanced_gauge_and_nowhere_else_on_the_orbit(kind):
    network = NETWORKS[kind]
    balanced = balance(network.graph, draw(network))
    assert (term(network, balanced).value(balanced) < 1e-18).all()
    for sigma in (0.01, 1.0):
        scales = random_scales(network.graph, sigma, generator=torch.Generator().manual_seed(1))
        other = rescale(network.graph, balanced, scales)
        assert (term(network, other).value(other) > 1e-6).all()


@pytest.mark.parametrize("kind", NETWORKS)
def test_its_gradient_is_autograd_and_lies_along_the_orbit(kind):
    """An infinitesimal rescaling: ``g_e = w_e (u_head - u_tail)`` with one u per class."""
    network = NETWORKS[kind]
    weights, strength = draw(network), torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    own = term(network, weights, strength)
    leaves = {name: w.clone().requires_grad_() for name, w in weights.items()}
    wanted = torch.autograd.grad(own.value(leaves).sum(), list(leaves.values()))
    found = {name: torch.zeros_like(w) for name, w in weights.items()}
    own.add_gradient_(weights, found)
    columns = []
    for name, g in zip(weights, wanted, strict=True):
        torch.testing.assert_close(found[name], g, rtol=1e-10, atol=1e-12)
        e = network.graph.edges[name]
        units = torch.eye(network.graph.hidden + 1, dtype=torch.float64)
        columns.append(((e.at_heads(units) - e.at_tails(units)) * weights[name][0]).flatten(1))
    tangents = torch.cat(columns, 1)[1:].T
    gradient = torch.cat([g[0].flatten() for g in found.values()])
    shifts = torch.linalg.lstsq(tangents, gradient[:, None]).solution
    torch.testing.assert_close((tangents @ shifts)[:, 0], gradient, rtol=1e-9, atol=1e-9)


def test_a_network_without_hidden_nodes_is_refused():
    network = mlp((3, 2))
    with pytest.raises(ValueError, match="needs a network with hidden nodes"):
        term(network, draw(network))
