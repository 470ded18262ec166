"""Promise: the invariance defect of a method is zero, round-off or large, as the theorems say; costs are ratios."""

from dataclasses import replace

import pytest
import torch
from conftest import batch

from scaleinv.defects import MODES, POWERS, RANDOM, Method, Setting, measure_cost, measure_defects
from scaleinv.gauging import BalanceGauge, ENormGauge, TeleportGauge
from scaleinv.losses import CrossEntropy
from scaleinv.networks.mlp import mlp
from scaleinv.optim import SGD, Adam
from scaleinv.optim.path_sgd import PathSGD
from scaleinv.runs.config import compose
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.records import load_records
from scaleinv.runs.run import run
from scaleinv.spaces import CycleSpace, WeightSpace
from scaleinv.starts import BalancedStart, DefaultStart

NETWORK = mlp((6, 8, 7, 3), bias=True)
DRAWN, BALANCED = DefaultStart(), BalancedStart()


@pytest.fixture(scope="module")
def setting():
    images, labels = batch(NETWORK, 40)
    return Setting(NETWORK, images, labels, [3, 5], 12, 16, 1.0, CrossEntropy())


# Gauges with scales that are only to round-off a function of the orbit, or that are none.
ROUNDING = ("ENorm every step", "teleported every 10 steps")

# Method, then whether it is invariant once before training, and before every step.
CASES = {
    "SGD, balanced before every step": (
        Method(WeightSpace(), SGD(), 0.1, DRAWN, BalanceGauge(every=1)),
        True,
        True,
    ),
    "SGD, balanced every two steps": (Method(WeightSpace(), SGD(), 0.1, DRAWN, BalanceGauge(every=2)), True, False),
    "SGD with ENorm": (Method(WeightSpace(), SGD(), 0.1, DRAWN, ENormGauge()), False, False),
    "Path-SGD, teleported": (
        Method(WeightSpace(), PathSGD(), 1e-3, DRAWN, TeleportGauge(powers_of_two=True)),
        True,
        True,
    ),
    "SGD": (Method(WeightSpace(), SGD(), 0.1, DRAWN), False, False),
    "SGD from the balanced gauge": (Method(WeightSpace(), SGD(), 0.1, BALANCED), True, False),
    "Adam in cycle space": (Method(CycleSpace(), Adam(), 1e-3, DRAWN), True, True),
    "Path-SGD with momentum": (Method(WeightSpace(), PathSGD(momentum=0.9), 1e-3, DRAWN), True, True),
}


@pytest.mark.parametrize("name", CASES)
def test_defects(name, setting):
    method, *invariant = CASES[name]
    defects = measure_defects(method, setting)
    for mode, is_invariant in zip(MODES, invariant, strict=True):
        rough, exact = (defects[mode, scales] for scales in (RANDOM, POWERS))
        assert rough.shape == exact.shape == (2,)
        if is_invariant:
            assert (exact == 0).all()
            assert ((rough > 0) & (rough < 1e-9)).all()
        else:
            assert (torch.stack([rough, exact]) > 1e-3).all()


def test_what_diverges_is_infinitely_far_apart(setting):
    defects = measure_defects(Method(WeightSpace(), SGD(), 1e200, DRAWN), setting)
    assert len(defects) == 4
    assert all(own.isinf().all() for own in defects.values())


def test_cost_is_a_ratio_to_sgd(setting):
    assert 0.2 < measure_cost(CASES["SGD"][0], setting, 9) < 5


def test_records(tmp_path):
    small = ["task=defects", "task.steps=2", "task.repeats=1", "seeds=2", "network.hidden=[4,4]"]
    config = compose([*small, f"results={tmp_path}"])
    few = {"SGD": {"name": "sgd", "lr": 0.1}, "Path-SGD": {"name": "path_sgd", "lr": 0.001}}
    spaces = {"weight": {"name": "weight"}, "cycle": {"name": "cycle"}}
    config = replace(config, task=replace(config.task, spaces=spaces, optimizers=few))
    run(config)
    table = load_records(config.folder)
    counts = table.groupby(["space", "gauge", "optimizer"]).size()
    assert counts.loc["weight"].index.get_level_values(0).nunique() == 7  # every gauge, at the start and later
    assert set(counts.loc["cycle"].index.get_level_values(0)) == {"as drawn"}
    assert set(table["optimizer"]) == set(few)
    exact = table[(table["optimizer"] == "Path-SGD") & (table["scales"] == POWERS) & ~table["gauge"].isin(ROUNDING)]
    assert (exact["defect"] == 0).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["task.steps=0"], "at least 1"),
        (["+task.during.balanced={name: balance}"], "different labels"),
        (["penalties=[l2_weights]"], "without penalties"),
        (["task.optimizers.SGD.lr=[0.1,0.2]"], "measures no grid"),
    ],
)
def test_impossible_tasks_are_refused(options, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        run(compose(["task=defects", f"results={tmp_path / 'none'}", *options]))
    assert not (tmp_path / "none").exists()
