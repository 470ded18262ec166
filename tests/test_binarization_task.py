"""Promise: the task binarization scores trained networks with several draws, and refuses impossible numbers."""

import pytest

from scaleinv.runs.config import compose
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.records import load_records
from scaleinv.runs.run import run

BASE = ["task=binarization", "network.hidden=[8,8]", "batch_size=300", "progress=false", "optimizer.lr=0.1"]


def test_rows_of_every_part(tmp_path):
    methods = "[{label: float}, {label: tossed, number: {name: psb, samples: 2.0, bits: 0}}]"
    chosen = [f"task.methods={methods}", "task.samples=[1,64]", "task.draws=3", "task.images=200", "epochs=6"]
    config = compose([*BASE, *chosen, "task.pruned=[0.0,1.0]", "task.bits=[0,1]", f"results={tmp_path}"])
    run(config)
    records = load_records(config.folder)
    counts = records.groupby(["trained", "part"])["accuracy"].size().to_dict()
    assert counts == {("float", "samples"): 28, ("float", "bits"): 6, ("float", "pruning"): 6, ("tossed", "samples"): 7}
    floats = records[(records["trained"] == "float") & (records["samples"] == 0)]
    assert len(floats) == 4
    assert floats["accuracy"].max() - floats["accuracy"].min() <= 1 / 200  # all gauges are one function
    one_bit = records[(records["part"] == "bits") & (records["bits"] == 1)]
    assert one_bit["accuracy"].nunique() == 1
    at = records[(records["part"] == "samples") & (records["gauge"] == "trained") & (records["trained"] == "float")]
    medians = at.groupby("samples")["accuracy"].median()
    assert medians[1] < medians[64]
    again = records[(records["part"] == "pruning") & (records["pruned"] == 1)]
    assert again["accuracy"].max() < 0.3  # nothing is left but biases


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("task.samples=[0]", "samples must be at least 1, got 0"),
        ("task.bits=[-1]", "bits must be at least 0, got -1"),
        ("task.pruned=[1.5]", "pruned must be between 0 and 1"),
        ("task.draws=0", "draws must be at least 1, got 0"),
        ("task.gauges=[loud]", "gauges must be some of trained, balanced, equalized, quiet, got loud"),
        ("task.attention=[[1]]", "attention must be pairs"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, override, message):
    with pytest.raises(ConfigError, match=message):
        run(compose([*BASE, override, f"results={tmp_path / 'none'}"]))
    assert not (tmp_path / "none").exists()
