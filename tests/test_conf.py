"""Promise: everything in conf/ composes, and a run's identity is exactly the keys that can change its result."""

import dataclasses
import hashlib
import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf

from scaleinv.penalties import L2Coords, L2Weights
from scaleinv.runs.config import CLASSES, FORMERLY, READ_ELSEWHERE, ROUND_OFF, WITHOUT_EFFECT, compose, identity, leaves
from scaleinv.runs.registry import find, names
from scaleinv.runs.suggestions import conf_folder
from scaleinv.study import experiments

CONF = conf_folder()
GROUPS = {
    group: sorted(p.stem for p in (CONF / group).glob("*.yaml"))
    for group in (
        "dataset",
        "network",
        "space",
        "optimizer",
        "schedule",
        "start",
        "augment",
        "number",
        "gauge",
        "task",
        "tracker",
        "loss",
        "penalty",
        "probe",
    )
}
# Groups of which a run takes any number -> the key that lists them.
LISTS = {"penalty": "penalties", "probe": "probes"}
EXPERIMENTS = sorted(p.stem for p in (CONF / "experiment").glob("*.yaml"))


# Keys that a file leaves to be given.
GIVEN = {"tensors": "dataset.path=own.npz"}


@pytest.mark.parametrize(("group", "name"), [(g, n) for g, ns in GROUPS.items() for n in ns])
def test_every_file_composes(group, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("own.npz", x=np.zeros((4, 2)), y=np.arange(4))
    if group in LISTS:
        listed = getattr(compose([f"{LISTS[group]}=[{name}]"]), LISTS[group])
        made = listed[name] if group == "penalty" else listed[0]
        assert type(made).__module__ == f"scaleinv.{LISTS[group]}.{name}"
    else:
        given = [GIVEN[name]] if name in GIVEN else []
        assert compose([f"{group}={name}", *given]).resolved[group]["name"] in GROUPS[group]


def test_every_experiment_is_run_by_a_test():
    """All of them are of the study, which test_study.py trains under the smoke profile."""
    assert set(EXPERIMENTS) == set(experiments())


@pytest.mark.parametrize("profile", sorted(p.stem for p in (CONF / "profile").glob("*.yaml")))
def test_every_profile_has_the_same_keys(profile):
    assert set(OmegaConf.load(CONF / "profile" / f"{profile}.yaml")) == set(
        OmegaConf.load(CONF / "profile" / "cpu.yaml")
    )
    assert OmegaConf.load(CONF / "profile" / f"{profile}.yaml").profile == profile


@pytest.mark.parametrize("group", sorted(set(CLASSES) & set(GROUPS)))
def test_every_implementation_has_a_config_and_the_other_way_round(group):
    package, base = CLASSES[group]
    files = {name: OmegaConf.load(CONF / group / f"{name}.yaml") for name in GROUPS[group]}
    presets = {name for name, keys in files.items() if "defaults" in keys}
    assert names(package) == sorted(set(GROUPS[group]) - presets)
    for name in set(GROUPS[group]) - presets:
        cls = find(package, name, getattr(importlib.import_module(f"{package}.base"), base))
        keys = set(OmegaConf.load(CONF / group / f"{name}.yaml")) - {"name", "lr"}
        assert keys == {field.name for field in dataclasses.fields(cls)}
        for field in dataclasses.fields(cls):
            if field.default is not dataclasses.MISSING:
                assert OmegaConf.load(CONF / group / f"{name}.yaml")[field.name] == field.default


def test_every_key_has_a_comment():
    for path in CONF.rglob("*.yaml"):
        lines = path.read_text().splitlines()
        assert lines[0].startswith("#"), path
        if path.parent.name in ("experiment", "profile") or "defaults" in yaml.safe_load(path.read_text()):
            continue
        for key in yaml.safe_load(path.read_text()):
            if key in ("defaults", "name", "hydra") and not (key == "name" and path.parent == CONF):
                continue
            position = next(i for i, line in enumerate(lines) if line.startswith(f"{key}:"))
            assert lines[position - 1].startswith("#"), f"{path}: {key}"


CHANGES = {
    "dataset.name": "dataset=mnist",
    "dataset.split": "dataset.split=holdout",
    "dataset.normalise": "dataset.normalise=dataset",
    "network.name": None,  # there is one
    "space.name": "space=cycle",
    "space.skeleton": "space.skeleton=maxprod",
    "space.fix": "space.fix=keep",
    "space.normalise": "space.normalise=balanced",
    "optimizer.name": "optimizer=adam",
    "schedule.name": "schedule=cosine",
    "start.name": "start=rescaled",
    "augment.name": "augment=crop_flip",
    "number.name": "number=psb",
    "gauge.name": "gauge=balance",
    "loss.name": "loss=mean_squared_error",
    "penalties": "penalties=[l2_weights]",
    "probes": "probes=[roots]",
    "optimizer.nesterov": ["optimizer.momentum=0.5", "optimizer.nesterov=true"],
    "task.name": "task=scale_check",
    "dtype": "dtype=float64",
    "tracker.name": "tracker=tensorboard",
    "keep": "keep=last",
    "device": "device=cpu",
    "threads": "threads=1",
    "chunk": "chunk=3",
    "name": "name=other",
    "results": "results=elsewhere",
    "dataset.root": "dataset.root=elsewhere",
    "objective": "objective=none",
    "dataset.hidden": ["dataset.hidden=[3,3]", "network.hidden=[4,4]"],
}


def change(key, value):
    if key in CHANGES:
        given = CHANGES[key]
        return [given] if isinstance(given, str) else given
    if isinstance(value, bool):
        return [f"{key}={str(not value).lower()}"]
    if isinstance(value, list):
        return [f"{key}=[3]"]
    return [f"{key}={value + 1}"]


BASE = ["space=gspace", "network.hidden=[4,4]"]
BEFORE = compose(BASE)


@pytest.mark.parametrize(("key", "value"), leaves(BEFORE.resolved), ids=lambda x: x if isinstance(x, str) else "")
def test_every_leaf_changes_the_run_or_is_listed(key, value):
    wanted = change(key, value)
    if wanted is None:
        return
    after = compose([*BASE, *wanted])
    if not {key, key.partition(".")[0]}.isdisjoint(WITHOUT_EFFECT | ROUND_OFF | READ_ELSEWHERE):
        assert after.run_id == BEFORE.run_id
    else:
        assert after.run_id != BEFORE.run_id


RELEASE = CONF.parent / "results" / "release"


@pytest.mark.parametrize("folder", ["mnist_sgd", "cpu"])
def test_released_runs_keep_their_ids(folder):
    """A key that came later is left out of the identity at the value that reproduces what came before."""
    paths = sorted((RELEASE / folder).rglob("config.yaml"))[:40]
    assert paths
    new = {"schedule": {"name": "constant"}, "loss": {"name": "cross_entropy"}, "penalties": []}
    new |= {"augment": {"name": "none"}, "number": {"name": "float"}, "gauge": {"name": "none"}}
    for path in paths:
        old = OmegaConf.to_container(OmegaConf.load(path))
        hashed = [
            hashlib.sha256(json.dumps(identity(nest), sort_keys=True).encode()).hexdigest() for nest in (old, old | new)
        ]
        assert hashed[0] == hashed[1]
        assert path.parent.name.endswith(hashed[0][:10])


def test_equal_grids_are_one_run():
    ids = {
        compose([f"seeds={seeds}", f"optimizer.lr={lr}"]).run_id
        for seeds in ("2", "[0,1]")
        for lr in ("[0.1,0.1]", "0.1")
    }
    assert len(ids) == 1


def test_choices_that_came_later_default_to_what_came_before():
    resolved = BEFORE.resolved
    assert set(FORMERLY) <= {key for key, _ in leaves(resolved)}
    assert not set(FORMERLY) & set(identity(resolved))


def test_a_penalty_is_one_run_however_it_is_written():
    written = ("[l2_weights]", "[{name: l2_weights}]", "[{name: l2_weights, strength: 0.0001}]")
    assert len({compose([f"penalties={one}"]).run_id for one in written}) == 1
    assert len({compose([f"penalties=[{{name: l2_weights, strength: {s}}}]"]).run_id for s in ("2", "2.0")}) == 1
    config = compose(["penalties=[{name: l2_coords, strength: 2}, l2_weights]"])
    assert config.penalties == {"l2_coords": L2Coords(strength=2.0), "l2_weights": L2Weights()}
    assert config.resolved["penalties"][0] == {"name": "l2_coords", "strength": 2.0}


def test_packages_are_listed():
    """pyproject.toml lists the packages by hand, because conf/ is one of them."""
    import tomllib

    root = Path(__file__).parents[1]
    listed = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {".".join(p.parent.relative_to(root).parts) for p in (root / "scaleinv").rglob("__init__.py")}
    assert set(listed) == found | {"scaleinv.conf"}
