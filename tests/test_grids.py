"""Promise: a grid is written as people write it, and means exactly the list of its numbers, wherever it stands."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from scaleinv.runs.config import compose, parse
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.grids import written_out
from scaleinv.runs.sweeps import expand

WRITTEN = [
    (
        "log(1e-4,1,9)",
        [1e-4, 0.000316227766017, 1e-3, 0.00316227766017, 1e-2, 0.0316227766017, 1e-1, 0.316227766017, 1],
    ),
    ("log(1,1e-3,4)", [1, 0.1, 0.01, 0.001]),
    ("log(0.7,0.12345678901234,2)", [0.7, 0.12345678901234]),
    ("lin(0.1,0.3,3)", [0.1, 0.2, 0.3]),
    ("lin(9,1,5)", [9, 7, 5, 3, 1]),
    ("grid(1,5,decades=4)", [1e-4, 5e-4, 1e-3, 5e-3, 1e-2, 5e-2, 0.1, 0.5]),
    ("grid(5,1,2,decades=2,to=1000)", [10, 20, 50, 100, 200, 500]),
    ("range(3)", [0, 1, 2]),
    ("range(10,16,2)", [10, 12, 14]),
]


@pytest.mark.parametrize(("text", "listed"), WRITTEN)
def test_a_grid_is_its_list(text, listed):
    """The numbers are those of the decimal literals, to the last bit."""
    assert written_out(text) == listed
    assert written_out([7, text]) == [7, *listed]
    (from_command,) = expand([f"optimizer.lr=[{text},7]"])
    assert from_command == expand([f"optimizer.lr={[*listed, 7]!r}".replace(" ", "")])[0]


def test_runs_of_a_grid_and_of_its_list_are_one_run():
    listed = compose(["optimizer.lr=[0.001,0.01,0.1]", "seeds=[4,5]", "optimizer.momentum=[0,0.5,1]"])
    momentum = "optimizer.momentum=lin(0,1,3)"
    assert compose(["optimizer.lr=log(1e-3,0.1,3)", "seeds=[range(4,6)]", momentum]).resolved == listed.resolved
    assert compose(["optimizer.lr=grid(1,decades=3)", "seeds='range(4,6)'", momentum]).run_id == listed.run_id
    file = OmegaConf.create({**listed.resolved, "seeds": "range(4,6)"})
    file.optimizer.lr = ["log(1e-3,1e-2,2)", 0.1]
    assert parse(file).run_id == listed.run_id
    strengths = [
        compose([f"penalties=[{{name:l2_weights,strength:{s}}}]"]).run_id for s in ("[0.1,1.0]", "log(0.1,1,2)")
    ]
    assert len(set(strengths)) == 1


def test_a_grid_may_be_one_value_of_a_sweep():
    assert expand(["optimizer.lr=log(0.01,1,3),[2]"]) == [["optimizer.lr=[0.01,0.1,1]"], ["optimizer.lr=[2]"]]
    assert len(expand(["space.value=range(1,4)"])) == 3  # without brackets, Hydra's range is a sweep


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("log(0,1,3)", "greater than 0"),
        ("log(1,3)", "count"),
        ("log(1,2,3.5)", "whole number"),
        ("lin(1,1,3)", "coincide"),
        ("grid(1,50,decades=2)", "below 10"),
        ("grid(1,decades=2,to=3)", "power of ten"),
        ("grid(decades=2)", "factors"),
        ("lin(0,a,3)", "not a number"),
        ("[range(2,2)]", "from 1 to"),
        ("'log(1,x)'", "cannot be read"),
        ("'range(0,10000000000)'", "from 1 to"),
        ("logarithmic(1,2,3)", "there is no function"),
    ],
)
def test_a_wrong_grid_is_one_sentence(value, words):
    with pytest.raises(ConfigError, match=words) as refused:
        compose([f"optimizer.lr={value}"])
    assert len(refused.value.what.splitlines()) == 1


def test_other_applications_keep_hydras_grammar():
    compose(["optimizer.lr=log(0.1,1,2)"])
    assert "log" not in OverridesParser.create().functions.definitions
