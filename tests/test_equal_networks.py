"""Promise: the networks of figures 1.2 and 1.3 compute one function with other weights."""

import pytest

from scaleinv.runs.config import compose
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.records import load_records
from scaleinv.runs.run import run


def test_both_keep_the_function_and_move_the_weights_of_their_nodes_only(tmp_path):
    options = ["task.widths=[3,2,3,2]", "task.node=4", "task.exchanged=[3,5]", "seeds=2"]
    config = compose(["task=equal_networks", *options, f"results={tmp_path}", "progress=false"])
    run(config)
    records = load_records(config.folder, keys=None)
    assert records["change"].max() < 1e-15
    # nodes of the second hidden layer
    for symmetry, nodes in (("none", ()), ("rescaling", (1,)), ("permutation", (0, 2))):
        own = records[records["symmetry"] == symmetry]
        moved = ((own["layer"] == 2) & own["head"].isin(nodes)) | ((own["layer"] == 3) & own["tail"].isin(nodes))
        assert ((own["weight"] != own["drawn"]) == moved).all(), symmetry
    rescaled = records[(records["symmetry"] == "rescaling") & (records["weight"] != records["drawn"])]
    ratios = rescaled["weight"] / rescaled["drawn"]
    assert set(ratios[rescaled["layer"] == 2]) == {2.0}
    assert set(ratios[rescaled["layer"] == 3]) == {0.5}


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("task.widths=[2,2]", "needs a hidden layer"),
        ("task.node=4", "node must be from 1 to 3"),
        ("task.factor=0", "factor must be"),
        ("task.exchanged=[1,1]", "two hidden nodes of one layer"),
        ("task.exchanged=[0,1]", "two hidden nodes of one layer"),
    ],
)
def test_nodes_that_are_not_there_are_refused(option, words):
    with pytest.raises(ConfigError, match=words):
        compose(["task=equal_networks", option])
