"""Promise: the probe drift measures distances from a checkpoint, and what part of the way is a rescaling."""

import pytest
import torch
from conftest import TINY, batch, draw

from scaleinv.probes.base import Scene
from scaleinv.probes.drift import Drift
from scaleinv.runs.config import compose
from scaleinv.runs.records import load_records
from scaleinv.runs.run import run
from scaleinv.symmetry.group import random_scales, rescale
from scaleinv.training.data import Dataset, Split


@pytest.fixture(scope="module")
def data():
    images, labels = batch(TINY, 20)
    split = Split((images.clamp(-2, 2) * 60 + 128).to(torch.uint8), labels)
    return Dataset("noise", split, split, None, torch.full((5,), 0.01), torch.zeros(5), 3).to("cpu", torch.float64)


def test_a_rescaling_is_all_along_the_orbit_and_moves_only_the_weights(data):
    weights = {n: w.clone() for n, w in draw(TINY).items()}
    reading = Drift(after=1).attach(Scene(TINY, None, data, (), weights, None))
    reading.look()
    assert all(n.isnan().all() for n in reading.read().values())
    assert not reading.read()["weight_distance"].any()
    scales = random_scales(TINY.graph, 1e-3, generator=torch.Generator().manual_seed(0))
    for name, w in rescale(TINY.graph, weights, scales).items():
        weights[name].copy_(w)
    reading.look()
    moved = reading.read()
    assert (moved["weight_distance"] > 1e-4).all()
    assert (moved["balanced_distance"] < 1e-9).all()
    assert (moved["cycle_distance"] < 1e-9).all()
    assert (moved["js_divergence"] < 1e-12).all()
    assert not moved["disagreement"].any()
    for share in ("orbit_share", "step_orbit_share"):
        torch.testing.assert_close(moved[share], torch.ones(3, dtype=torch.float64), rtol=1e-4, atol=0)
    weights["0.weight"][0] += 0.1
    weights["0.weight"][1] = torch.nan  # a member that diverges is NaN, and stops no other
    reading.look()
    after = reading.read()
    assert after["balanced_distance"][0] > 1e-2
    assert after["balanced_distance"][1].isnan()
    assert after["step_orbit_share"][0] < 0.9
    assert after["balanced_distance"][2] < 1e-9


def test_in_a_run(tmp_path):
    """Begun before and after an interruption alike: the checkpoint is part of what a run saves (test_probes.py)."""
    base = ["network.hidden=[8,8]", "batch_size=600", "progress=false", f"results={tmp_path}", "epochs=2"]
    config = compose([*base, "probes=[{name: drift, after: 1, every: 2}]"])
    run(config)
    records = load_records(config.folder)
    assert records["balanced_distance"].isna().tolist() == [True, False, False]
    assert records["weight_distance"][1] == 0 < records["weight_distance"][2]
    assert 0 <= records["step_orbit_share"][2] < 0.5
