"""Promise: a space, an optimizer, a network and a probe of a user's own run without a line changed inside."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import TINY, assert_close, draw

from scaleinv.runs.config import compose
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.records import load_records
from scaleinv.runs.run import run

TEMPLATE = Path(__file__).parents[1] / "docs" / "template"
ROOT = Path(__file__).parents[1]
QUICK = ["epochs=2", "seeds=2", "progress=false", "threads=1"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The template project, copied and installed as its README says; the folder that it is installed in."""
    base = tmp_path_factory.mktemp("yours")
    shutil.copytree(TEMPLATE, base / "project")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    done = subprocess.run(
        [*pip, "--target", str(base / "site"), str(base / "project")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return base / "site"


def scaleinv_run(folder, *overrides, path=()):
    paths = os.pathsep.join(map(str, (*path, ROOT)))
    return subprocess.run(
        [sys.executable, "-c", "from scaleinv.cli import main; main()", *QUICK, *overrides],
        cwd=folder, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_installed_parts_run_by_name(installed, tmp_path):
    parts = ["space=ntk", "optimizer=sign", "network=pyramid", "probes=[norm]", "network.width=8"]
    done = scaleinv_run(tmp_path, *parts, "optimizer.lr=[0.01,0.001]", path=[installed])
    assert done.returncode == 0, done.stderr
    records = load_records(tmp_path / "results")
    assert len(records) == 2 * 2 * 3
    assert set(records["space"]) == {"ntk"}
    assert set(records["network"]) == {"pyramid"}
    assert records["norm"].gt(0).all()
    assert records.groupby("epoch")["norm"].mean().is_monotonic_increasing
    at = records[records["lr"] == 0.01].pivot(index="epoch", columns="seed", values="val_loss")
    assert (at.loc[2] < at.loc[0]).all()
    wrong = scaleinv_run(tmp_path, "space=ntk", "space.gian=2", path=[installed])
    assert wrong.returncode == 2
    assert "space.gain" in wrong.stderr


def test_a_file_in_the_working_directory_runs_by_its_path(command, tmp_path, monkeypatch):
    shutil.copy(TEMPLATE / "my_parts" / "ntk.py", tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    code, _, err = command(*QUICK, "space=ntk:NTKSpace", "space.gain=2.0")
    sys.modules.pop("ntk", None)
    assert code == 0, err
    (folder,) = (tmp_path / "results" / "runs").iterdir()
    assert folder.name.startswith("digits-ntk_NTKSpace-sgd-")
    run(compose([*QUICK, f"results={tmp_path / 'results'}"]))
    losses = load_records(tmp_path / "results").groupby("space")["val_loss"].min()
    assert losses["ntk:NTKSpace"] != losses["weight"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere:Thing", "cannot be imported"),
        ("ntk:Nothing", "cannot be imported"),
        ("ntk:NTKChart", "ParameterSpace"),
    ],
)
def test_parts_that_are_none_are_refused(tmp_path, monkeypatch, name, words):
    """What the command says of a ConfigError, and that nothing is started then, is tested in test_command.py."""
    shutil.copy(TEMPLATE / "my_parts" / "ntk.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(ConfigError, match=words):
        compose([f"space.name={name}"])
    sys.modules.pop("ntk", None)


def test_the_template_keeps_the_laws(monkeypatch):
    monkeypatch.syspath_prepend(str(TEMPLATE))
    from my_parts.ntk import NTKSpace

    weights = draw(TINY)
    chart = NTKSpace(2.0).chart(TINY.graph, weights)
    coords = {name: c.requires_grad_() for name, c in chart.to_coords(weights).items()}
    at = chart.to_weights(coords)
    assert_close({name: w.detach() for name, w in at.items()}, weights)
    loss = sum(w.sin().sum() for w in at.values())
    by_weights = torch.autograd.grad(loss, list(at.values()), retain_graph=True)
    by_coords = torch.autograd.grad(loss, list(coords.values()))
    pulled = chart.pullback(weights, dict(zip(at, by_weights, strict=True)))
    assert_close(pulled, dict(zip(coords, by_coords, strict=True)))
    step = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64)
    direction = {name: c.detach().cos() for name, c in coords.items()}
    moved = {name: c + step.view(-1, *[1] * (c.dim() - 1)) * direction[name] for name, c in coords.items()}
    wanted = {name: w.detach() for name, w in chart.to_weights(moved).items()}
    assert_close(chart.retract(weights, direction, step), wanted)
