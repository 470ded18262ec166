"""Promise: the table of methods joins defects, costs and curves by the names of the methods, and invents nothing."""

from dataclasses import replace

import pytest

from scaleinv.report.method_table import method_markdown, method_table
from scaleinv.runs.config import compose
from scaleinv.runs.records import MissingError
from scaleinv.runs.run import run
from scaleinv.study import Job, write_index

SMALL = ["epochs=1", "seeds=2", "batch_size=256", "network.hidden=[4]", "progress=false", "threads=1", "name=study"]


def jobs(folder):
    base = [*SMALL, f"results={folder}"]
    defects = compose([*base, "task=defects", "task.steps=2", "task.repeats=1"])
    few = {"optimizers": {"SGD": {"name": "sgd", "lr": 0.1}}, "spaces": {"weight": {"name": "weight"}}}
    yield Job("invariance_table", replace(defects, task=replace(defects.task, **few)))
    for gauge in ("none", "enorm"):
        yield Job("gauges", compose([*base, f"gauge={gauge}", "optimizer.lr=[0.1,0.01]"]))
    for sigma in (0.0, 2.0):
        words = ["start=rescaled", f"start.sigma={sigma}", "optimizer=adagrad", "optimizer.lr=[0.1,0.01]"]
        yield Job("path_sgd", compose([*base, *words]))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    planned = list(jobs(folder))
    for job in planned:
        run(job.config)
    write_index("cpu", planned, folder / "study")
    return folder / "study"


def test_methods_are_joined(study):
    table = method_table(study).set_index(["optimizer", "space", "gauge"]).sort_index()
    assert table.index.is_unique
    measured = table[table["best"].notna()]
    assert set(measured.index) == {
        ("SGD", "weight", "as drawn"),
        ("SGD", "weight", "ENorm every step"),
        ("AdaGrad", "weight", "as drawn"),  # not the one that starts out of balance
    }
    assert table.loc["AdaGrad", "cost"].isna().all()
    assert (table.loc["SGD", "cost"] > 0).all()
    assert table.loc[("SGD", "weight", "balanced"), "once before"][1]
    assert not table.loc[("SGD", "weight", "as drawn"), "once before"][1]
    assert all(row["best"].n == 2 for row in measured.to_dict("records"))


def test_as_markdown(study):
    lines = method_markdown(study).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert any("ENorm every step" in line and "n = 2" in line for line in lines)
    assert any("balanced every step" in line and line.endswith("|  |  |  |") for line in lines)


def test_without_records_of_the_defects_there_is_no_table(study):
    write_index("cpu", [], study.parent / "empty")
    with pytest.raises(MissingError):
        method_table(study.parent / "empty")
