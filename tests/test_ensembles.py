"""Promise: an ensemble is a task that reads kept weights; what it reads predicts as it did in training."""

import pytest
import torch

from scaleinv import load_model
from scaleinv.minima.predictions import score
from scaleinv.runs.build import build_dataset
from scaleinv.runs.config import compose
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.records import find_runs, load_records
from scaleinv.runs.run import run

BASE = ["task=ensemble", "network.hidden=[8,8]", "batch_size=300", "progress=false", "optimizer.lr=0.1"]
SNAPSHOTS = "{label: snapshots, epochs: 2, keep: [1, 2], schedule: {name: cosine_restarts, epochs: 1, growth: 1}}"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    methods = f"[{{label: one, epochs: 2}}, {SNAPSHOTS}, {{label: seeds, members: 2, epochs: 1}}]"
    config = compose([*BASE, f"task.methods={methods}", "seeds=2", f"results={results}"])
    run(config)
    return config, load_records(config.folder)


def test_one_row_per_method_way_and_seed(done):
    _, records = done
    assert set(records["seed"]) == {0, 1}
    counts = records.groupby(["method_label", "combine"])["networks"].agg(["size", "first"])
    assert {key: tuple(row) for key, row in counts.iterrows()} == {
        ("one", "predictions"): (2, 1),
        **{(way, kind): (2, 2) for way in ("snapshots", "seeds") for kind in ("predictions", "weights", "balanced")},
    }
    plain = records[records["combine"] == "predictions"].set_index(["method_label", "seed"])
    assert (plain.loc["one", "disagreement"] == 0).all()
    assert (plain.loc["seeds", "disagreement"] > 0).all()
    assert (plain["nll"] > 0).all()


def test_a_snapshot_read_back_gives_the_bits_of_training(done):
    """The validation accuracy and loss in the records of the run, and the ensemble's scores from plain modules."""
    config, records = done
    dataset = build_dataset(config)
    images = dataset.normalise(dataset.val.images)
    members = config.folder.parent / "members"
    folder = next(f for f in find_runs(members) if "cosine" in (f / "config.yaml").read_text())
    trained = load_records(folder)
    kept = [load_model(folder, {"seed": 1}, kept=epoch) for epoch in (1, 2)]
    with torch.no_grad():
        logits = [model(images) for model in kept]
    again = [load_model(folder, {"seed": 1}, kept=epoch)(images).detach() for epoch in (1, 2)]
    assert all(torch.equal(one, other) for one, other in zip(logits, again, strict=True))
    for epoch, z in enumerate(logits, 1):
        row = trained[(trained["seed"] == 1) & (trained["epoch"] == epoch)].iloc[0]
        assert float((z.argmax(1) == dataset.val.labels).double().mean()) == row["val_accuracy"]
    wanted = score(torch.stack(logits).double().softmax(-1), dataset.val.labels)
    chosen = (records["method_label"] == "snapshots") & (records["seed"] == 1) & (records["combine"] == "predictions")
    found = records[chosen].iloc[0]
    for name, value in vars(wanted).items():
        assert found[name] == pytest.approx(value, rel=1e-5), name


def test_nothing_is_trained_twice(done, capsys):
    config, _ = done
    before = [f.stat().st_mtime_ns for f in config.folder.parent.rglob("members/*/metrics.csv")]
    assert len(before) == 3
    run(compose([*config.arguments, "rerun=false", "task.combine=[predictions]"]))
    assert before == [f.stat().st_mtime_ns for f in config.folder.parent.rglob("members/*/metrics.csv")]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("task.methods=[]", "at least one way"),
        ("task.methods=[{label: a, members: 0}]", "an ensemble needs at least one network, got members=0"),
        ("task.methods=[{label: a, keep: none}]", "an ensemble needs at least one network"),
        ("task.methods=[{label: a, epoch: 3}]", "there is no key epoch"),
        ("task.methods=[{epochs: 3}]", "each with its label"),
        ("task.combine=[votes]", "combine must list some of predictions, weights, balanced"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, override, message):
    with pytest.raises(ConfigError, match=message):
        run(compose([*BASE, override, f"results={tmp_path / 'none'}"]))
    assert not (tmp_path / "none").exists()
