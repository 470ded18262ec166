"""Promise: a run's id survives new keys, and counts what its task reads and nothing else."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from scaleinv.runs import config as module
from scaleinv.runs.config import compose, parse

RELEASE = Path(__file__).parents[1] / "results" / "release"


def test_released_runs_keep_their_ids():
    """Read back from their own config.yaml, with the keys that did not exist then at what they are now."""
    now = compose().resolved
    paths = sorted(RELEASE.rglob("config.yaml"))
    assert len(paths) > 100
    for path in paths:
        then = OmegaConf.load(path)
        config = parse(OmegaConf.merge({key: now[key] for key in now if key not in then}, then))
        assert config.run_id == path.parent.name


def test_a_new_key_renames_runs_only_away_from_its_old_value(monkeypatch):
    resolved = compose().resolved
    grown = {**resolved, "new": {"name": "old"}, "optimizer": {**resolved["optimizer"], "knob": None}}
    monkeypatch.setattr(module, "FORMERLY", {**module.FORMERLY, "new.name": "old", "optimizer.knob": None})
    assert module.identity(grown) == module.identity(resolved)
    grown["new"] = {"name": "other"}
    assert module.identity(grown) != module.identity(resolved)


READ = {
    "surface": (
        ["optimizer.lr=0.5", "space=gspace", "dataset=mnist", "seeds=3", "network.hidden=[9]", "dtype=float64"],
        ["network.negative_slope=0.1", "task.panels=[{label:a,w1:1.0,w2:2.0}]"],
    ),
    "count_invariances": (
        ["optimizer=adam", "network.bias=true", "start=rescaled", "epochs=9", "probes=[roots]"],
        ["seeds=3", "task.images=50"],
    ),
    "gspace_facts": (["space=fixed", "batch_size=3", "dataset.normalise=dataset"], ["seeds=3"]),
    "boards": (["space=fixed", "batch_size=3", "dataset=mnist"], ["seeds=3", "task.steps=7"]),
    "skeleton_map": (["optimizer.momentum=0.5", "dataset=mnist"], ["space.skeleton=maxprod", "seeds=[4]"]),
    "scale_check": (
        ["optimizer.lr=0.5", "space=gspace", "epochs=9"],
        ["dataset=mnist", "network.bias=true", "seeds=3"],
    ),
}


@pytest.mark.parametrize("task", READ)
def test_keys_that_a_task_does_not_read_do_not_count(task):
    ignored, read = READ[task]
    base = [f"task={task}", *(["space=fixed"] if task == "skeleton_map" else [])]
    before = compose(base)
    for override in ignored:
        after = compose([*base, override])
        assert after.run_id == before.run_id, override
        assert after.resolved == before.resolved, override
    ids = [compose([*base, override]).run_id for override in read]
    assert len({before.run_id, *ids}) == len(ids) + 1


def test_options_that_others_make_meaningless_do_not_count():
    ids = {compose(["space=gspace_keep", f"space.value={value}"]).run_id for value in (1.0, 0.5)}
    assert len(ids) == 1


def test_a_list_of_one_is_a_number():
    one, listed = (compose(["start=rescaled", f"start.sigma={sigma}"]) for sigma in ("2", "[2.0]"))
    assert one.run_id == listed.run_id
    assert "start.sigma" not in listed.axes
