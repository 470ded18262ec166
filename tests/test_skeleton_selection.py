"""Promise: invariant choices of a skeleton stay under rescaling, the diagonal spreads the farthest."""

import pytest
import torch

from scaleinv.networks.mlp import mlp
from scaleinv.runs.config import compose
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.tasks.skeleton_selection import measure


def test_invariant_choices_stay_and_the_largest_products_spread_least():
    network, found = mlp((12, 8, 8, 6)), {}
    for choice in ("default", "hungarian", "log_hungarian", "maxprod"):
        for seed in range(5):
            weights = {name: w[0] for name, w in network.init([seed], torch.float64).items()}
            decades, round_off, moved = measure(network, weights, choice, seed, 16)
            found[choice, seed] = decades, moved
            assert 0 < round_off < 1e-3
    assert all(found[choice, seed][1] == 0 for choice, seed in found if choice != "hungarian")
    assert any(found["hungarian", seed][1] > 0 for seed in range(5))
    means = {choice: sum(found[choice, seed][0] for seed in range(5)) / 5 for choice, _ in found}
    assert means["maxprod"] <= min(means.values()) + 1e-9
    assert means["default"] > 2 * means["maxprod"]


def test_networks_without_a_hidden_layer_are_refused():
    with pytest.raises(ConfigError, match="widths must list a hidden layer"):
        compose(["task=skeleton_selection", "task.widths=[[4,3]]"])
