"""Promise: a probe's columns are what a look at the weights after every step would give, also after a resume."""

import numpy as np
import pytest
import torch
from conftest import draw

from scaleinv.networks.mlp import mlp
from scaleinv.probes.base import Scene
from scaleinv.probes.roots import Roots
from scaleinv.runs.config import compose
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.records import load_records
from scaleinv.runs.run import run
from scaleinv.spaces import GSpace, WeightSpace


@pytest.mark.parametrize("skeleton", ["default", "maxprod"])
def test_roots_by_hand(skeleton):
    network = mlp((4, 3, 5, 2))
    chart = GSpace(skeleton, fix="keep").chart(network.graph, draw(network))
    weights = chart.start()
    scene = Scene(network, chart, None, (), weights, None)
    reading = Roots().attach(scene)
    where = []
    for pick, free in zip(chart.skeleton.into, chart.skeleton.is_root(network.graph), strict=True):
        where.append((pick, free.expand(3, -1)))

    def roots() -> list[torch.Tensor]:
        return [torch.cat([p.read(weights[p.name])[m][free[m]] for p, free in where]) for m in range(3)]

    seen = [roots()]
    generator = torch.Generator().manual_seed(0)
    for _ in range(6):
        for w in weights.values():
            w.mul_(torch.randn(w.shape, generator=generator, dtype=w.dtype))
        reading.look()
        seen.append(roots())
    found = reading.read()
    for member in range(3):
        signs = torch.stack([step[member] > 0 for step in seen])
        assert found["root_flips"][member] == (signs[1:] != signs[:-1]).sum()
        assert found["smallest_root"][member] == torch.stack([step[member] for step in seen]).abs().min()
    reading.look()
    assert reading.read()["root_flips"].sum() == 0  # counts begin anew


def test_a_space_without_a_skeleton_is_refused():
    network = mlp((4, 3, 2))
    chart = WeightSpace().chart(network.graph, draw(network))
    with pytest.raises(ValueError, match="skeleton"):
        Roots().attach(Scene(network, chart, None, (), chart.start(), None))


BASE = ["space=gspace", "space.fix=keep", "space.skeleton=maxprod", "probes=[roots]", "seeds=2", "epochs=3",
        "optimizer.lr=[1e-3,1e-5]", "network.hidden=[6,6]", "progress=false", "threads=1"]  # fmt: skip


def test_columns_and_chunks(tmp_path):
    tables = []
    for chunk in ("4", "1"):
        config = compose([*BASE, f"results={tmp_path / chunk}", f"chunk={chunk}"])
        run(config)
        tables.append(load_records(config.folder))
    assert list(tables[0].columns[-2:]) == ["root_flips", "smallest_root"]
    assert (tables[0]["root_flips"] == tables[1]["root_flips"]).all()
    np.testing.assert_allclose(tables[0]["smallest_root"], tables[1]["smallest_root"], rtol=1e-3)
    assert tables[0]["root_flips"].sum() > 0


def test_refused_before_anything_is_made(tmp_path):
    config = compose(["probes=[roots]", f"results={tmp_path / 'none'}"])
    with pytest.raises(ConfigError, match="skeleton"):
        run(config)
    assert not (tmp_path / "none").exists()
    with pytest.raises(ConfigError, match="there is no probe"):
        compose(["probes=[rots]"])
    with pytest.raises(ConfigError, match="must be a list"):
        compose(["probes=roots"])
