"""Promise: no curve, row or verdict pools what differs; each member counts once; changed records are refused."""

import gzip
import json
import lzma
import re
import shutil

import pandas as pd
import pytest
from recorded import record

from scaleinv.report.figures import (
    fig_4_6,
    fig_4_7,
    heldout,
    invariances,
    loss_vs_lr,
    path_factor,
    start_or_space,
    stress,
)
from scaleinv.report.figures.__main__ import draw_one
from scaleinv.report.figures.methods import method_styles
from scaleinv.report.members import best_epochs, member_columns
from scaleinv.report.methods import with_methods
from scaleinv.report.release import departures
from scaleinv.report.studies import Study
from scaleinv.runs.config import compose, identity
from scaleinv.runs.errors import ConfigError, UserError
from scaleinv.runs.folder import MANIFEST_VERSION, DamagedError, RunFolder
from scaleinv.runs.records import MissingError, find_runs, load_records, read_config, read_index
from scaleinv.runs.run import run

DIFFERENCES = [
    (["network.hidden=[8]"], ["network.hidden=[16]"], {"SGD / weight, hidden [8]", "SGD / weight, hidden [16]"}),
    (
        ["optimizer.weight_decay=0.0"],
        ["optimizer.weight_decay=0.1"],
        {"SGD / weight, weight_decay 0", "SGD / weight, weight_decay 0.1"},
    ),
    (["batch_size=32"], ["batch_size=64"], {"SGD / weight, batch_size 32", "SGD / weight, batch_size 64"}),
    (["epochs=2"], ["epochs=3"], {"SGD / weight, epochs 2", "SGD / weight, epochs 3"}),
    (["dataset.split=test"], ["dataset.split=holdout"], {"SGD / weight, split test", "SGD / weight, split holdout"}),
    (
        ["optimizer.momentum=0.5"],
        ["optimizer.momentum=0.9"],
        {"momentum / weight, momentum 0.5", "momentum / weight, momentum 0.9"},
    ),
    (
        ["space=gspace"],
        ["space=gspace", "space.skeleton=maxprod"],
        {"SGD / G, skeleton default", "SGD / G, skeleton maxprod"},
    ),
    (
        ["space=cycle"],
        ["space=cycle", "space.normalise=none"],
        {"SGD / cycle, normalise balanced", "SGD / cycle, normalise none"},
    ),
    (
        ["space=gspace_keep"],
        ["space=gspace", "space.fix=rescale"],
        {"SGD / G, kept, fix keep", "SGD / G, kept, fix rescale"},
    ),
    # a key that the other run lacks is told by the choice that has it
    (["start=default"], ["start=rescaled"], {"SGD / weight, start default", "SGD / weight, start rescaled"}),
    (
        ["start=rescaled"],
        ["start=rescaled", "start.sigma=2.0"],
        {"SGD / weight, sigma 1", "SGD / weight, sigma 2"},
    ),
    # what differs between methods, and is not told by their names
    (
        ["network.hidden=[8]"],
        ["optimizer=adam", "network.hidden=[16]"],
        {"SGD / weight, hidden [8]", "Adam / weight, hidden [16]"},
    ),
    (["optimizer=sgd"], ["optimizer=adam"], {"SGD / weight", "Adam / weight"}),
    # two keys with one last word
    (
        ["space=fixed", "start=reparametrized"],
        ["space=fixed", "space.skeleton=maxprod", "start=reparametrized", "start.skeleton=maxprod"],
        {
            "SGD / fixed, space.skeleton default, start.skeleton hungarian",
            "SGD / fixed, space.skeleton maxprod, start.skeleton maxprod",
        },
    ),
]


@pytest.mark.parametrize(("one", "other", "methods"), DIFFERENCES, ids=lambda value: " ".join(sorted(value)))
def test_runs_that_differ_are_two_methods(tmp_path, one, other, methods):
    record(tmp_path, *one)
    record(tmp_path, *other, loss=2.0)
    named = with_methods(load_records(tmp_path, keys=None))
    assert set(named["method"]) == methods
    assert (named.groupby("method")["configuration"].nunique() == 1).all()
    drawn = loss_vs_lr.draw(load_records(tmp_path, keys=None)).table
    assert set(drawn["method"]) == methods
    assert (drawn["n"] == 1).all()


def test_axes_are_not_differences_and_values_are_curves_of_their_own(tmp_path):
    for lr in (0.1, 0.01):
        record(tmp_path, "space=fixed", f"optimizer.lr={lr}", "seeds=[0]", "space.value=[0.5,1.0]")
    record(tmp_path, "space=fixed", "optimizer.lr=0.1", "seeds=[1]", "space.value=[0.5,1.0]")
    records = load_records(tmp_path, keys=None)
    assert records["configuration"].nunique() == 1
    assert set(with_methods(records)["method"]) == {"SGD / fixed, value 0.5", "SGD / fixed, value 1"}
    assert set(with_methods(records, ["value"])["method"]) == {"SGD / fixed"}
    drawn = loss_vs_lr.draw(records)
    assert sorted(drawn.table["n"]) == [1, 1, 2, 2]
    assert "n = 1 to 2 seeds" in drawn.caption


def test_an_axis_is_read_from_its_column(tmp_path):
    """A column before ``epoch`` with the name of a key is an axis, whatever its name; nobody lists it by hand."""
    record(tmp_path, "optimizer.weight_decay=[0.0,0.1]")
    record(tmp_path, "optimizer=adam")
    records = load_records(tmp_path, keys=None)
    assert member_columns(records)[-1] == "optimizer.weight_decay"
    assert len(best_epochs(records)) == 3
    methods = {"SGD / weight, weight_decay 0", "SGD / weight, weight_decay 0.1", "Adam / weight"}
    assert set(with_methods(records)["method"]) == methods


def test_one_number_in_one_run_and_an_axis_in_another_are_the_same_key(tmp_path):
    """The member that both have counts once, the others are methods of their own."""
    record(tmp_path, "optimizer.momentum=[0.0,0.5,0.9]", "seeds=2")
    record(tmp_path, "optimizer.momentum=0.5", "seeds=3")
    record(tmp_path, "space=fixed", "seeds=2")
    for keys in ((), None):
        records = load_records(tmp_path, keys=keys)
        best = best_epochs(records)
        assert member_columns(records)[-1] == "optimizer.momentum"
        assert best.groupby(["space", "optimizer.momentum"]).size().to_dict() == {
            **{("weight", 0.0): 2, ("weight", 0.5): 3, ("weight", 0.9): 2},
            ("fixed", 0.0): 2,
        }
    methods = {"SGD / weight", "SGD / fixed", *(f"momentum / weight, momentum {decay}" for decay in (0.5, 0.9))}
    assert set(with_methods(records)["method"]) == methods


def test_methods_that_look_alike_get_colours_of_their_own():
    methods = [f"{name} / weight{extra}" for name in ("SGD", "AdamW") for extra in ("", ", hidden [8]", ", hidden [9]")]
    styles = method_styles([*methods, "SGD / fixed, kept", "SGD / fixed", "SGD / fixed, kept, value 2"])
    looks = {json.dumps(how.style) for how in styles.values()}
    assert len(looks) == len(styles) == 9
    assert styles["SGD / weight"].style["color"] == "#000000"
    assert list(styles)[-3] == "SGD / fixed"


REFUSED = [
    (start_or_space.draw, [["space=weight"], ["space=weight", "batch_size=32"]]),
    (path_factor.draw, [["space=gspace", "probes=[roots]"], ["space=gspace", "probes=[roots]", "batch_size=32"]]),
    (fig_4_7.draw, [["space=fixed"], ["space=fixed", "optimizer.weight_decay=0.1"]]),
    (fig_4_6.draw, [["dataset=digits"], ["dataset=mnist"]]),
    (heldout.draw, [["dataset=digits"], ["dataset=mnist"]]),
    (stress.draw, [["dataset=digits", "start=rescaled"], ["dataset=mnist", "start=rescaled"]]),
]


@pytest.mark.parametrize(("draw", "runs"), REFUSED, ids=[draw.__module__.split(".")[-1] for draw, _ in REFUSED])
def test_figures_that_cannot_name_a_difference_refuse_it(tmp_path, draw, runs):
    for overrides in runs:
        record(tmp_path, *overrides)
    with pytest.raises(UserError, match=r"would be shown as one method|shows one dataset"):
        draw(load_records(tmp_path, keys=None))


def test_figures_of_other_tasks_refuse_two_configurations(tmp_path):
    for images in (10, 20):
        run(
            compose([f"results={tmp_path}", "task=count_invariances", "task.widths=[[2,2,2]]", f"task.images={images}"])
        )
    with pytest.raises(UserError, match=r"differ in task.images \(10, 20\)"):
        invariances.draw(load_records(tmp_path, keys=None))


def study(folder, *runs):
    index = {"profile": folder.name, "experiments": {"memory": {"command": "c", "runs": [c.run_id for c in runs]}}}
    (folder / "index.json").write_text(json.dumps(index))


def test_claims_and_comparisons_do_not_pool(tmp_path):
    runs = [record(tmp_path, f"name={name}", f"batch_size={size}") for name in ("a", "b") for size in (32, 64)]
    study(tmp_path / "a", *runs[:2])
    with pytest.raises(UserError, match="no records of SGD / weight") as error:
        Study(tmp_path / "a").losses("memory", "SGD / weight")
    assert "SGD / weight, batch_size 32; SGD / weight, batch_size 64" in str(error.value)
    study(tmp_path / "b", *runs[2:])
    assert departures(tmp_path / "b", tmp_path / "a")[1] == 2
    study(tmp_path / "b", runs[2])
    study(tmp_path / "a", runs[1])
    assert departures(tmp_path / "b", tmp_path / "a")[1] == 0


def test_a_member_of_two_runs_appears_once(tmp_path):
    record(tmp_path, "seeds=2")
    record(tmp_path, "seeds=3")
    record(tmp_path, "seeds=3", "name=elsewhere")
    record(tmp_path, "seeds=[1]", "optimizer.lr=[0.1,0.5]", "optimizer.momentum=0")  # 0 and 0.0 are one number
    records = load_records(tmp_path)
    assert sorted(zip(records["seed"], records["lr"], records["epoch"], strict=True)) == sorted(
        [(seed, 0.1, epoch) for seed in range(3) for epoch in range(3)] + [(1, 0.5, epoch) for epoch in range(3)]
    )


def test_copies_that_disagree_are_noted_and_the_first_is_taken(tmp_path):
    first = record(tmp_path, "seeds=2", "name=a")
    record(tmp_path, "seeds=3", "name=b", loss=1.5)
    with pytest.warns(UserWarning, match=rf"a/{first.run_id} and b/\S+ trained the same members, but .* up to 50%"):
        records = load_records(tmp_path)
    assert len(records) == 9
    assert (records.loc[records["seed"] < 2, "experiment"] == "a").all()


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(MissingError, match="no such folder") as error:
        load_records(tmp_path / "void")
    assert str(tmp_path / "void") in str(error.value)
    assert load_records(tmp_path).empty
    (tmp_path / "manifest.json").write_text('{"name": "of another program"}')
    assert find_runs(tmp_path) == []


def edited(folder):
    folder.metrics.write_text(folder.metrics.read_text().replace("0.5", "0.6", 1))


def cut(folder):
    folder.metrics.write_bytes(folder.metrics.read_bytes()[:-30])


def vanished(folder):
    folder.metrics.unlink()


def of_another_version(folder):
    path = folder.path / "manifest.json"
    path.write_text(path.read_text().replace(f'"manifest_version": {MANIFEST_VERSION}', '"manifest_version": 99'))


def no_manifest(folder):
    (folder.path / "manifest.json").write_text("[1]")


DAMAGES = [
    (edited, "the metrics were changed: their checksum"),
    (cut, "the metrics were changed: they have"),
    (vanished, "its metrics are gone"),
    (of_another_version, f"has version 99, this program reads {MANIFEST_VERSION}"),
    (no_manifest, "has version None"),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGES, ids=[damage.__name__ for damage, _ in DAMAGES])
def test_records_that_are_not_what_the_run_wrote_are_refused(tmp_path, damage, words):
    config = record(tmp_path)
    damage(RunFolder(config.folder))
    for read in (lambda: run(config), lambda: load_records(tmp_path)):
        with pytest.raises(DamagedError, match=re.escape(words)) as error:
            read()
        assert len(str(error.value).splitlines()) == 3
    again = compose(["epochs=2", "rerun=true", "network.hidden=[4]", f"results={tmp_path}", "progress=false"])
    shutil.copytree(config.folder, again.folder)
    assert "1 members, 3 rows" in run(again)


def test_records_from_before_the_checksum_and_compressed_ones_are_valid(tmp_path):
    folder = RunFolder(record(tmp_path).folder)
    path = folder.path / "manifest.json"
    old = {key: value for key, value in json.loads(path.read_text()).items() if key != "metrics_sha256"}
    path.write_text(json.dumps(old))
    whole = load_records(tmp_path)
    content = folder.metrics.read_bytes()
    folder.metrics.unlink()
    for ending, compress in (("gz", gzip.compress), ("xz", lzma.compress)):
        compressed = folder.path / f"metrics.csv.{ending}"
        compressed.write_bytes(compress(content))
        pd.testing.assert_frame_equal(load_records(tmp_path), whole)
        compressed.write_bytes(compress(content)[:-9])
        with pytest.raises(DamagedError, match="cannot be read"):
            load_records(tmp_path)
        compressed.unlink()


STRANGE = [
    ("epochs: !!python/object/apply:os.system ['touch harm']", "not plain YAML"),
    ("name: ${oc.env:HOME}", "interpolations"),
    ("name: ${mine:1}", "interpolations"),
    ("a: &a [1, 1]\nb: [*a, *a]", "alias"),
    ("- 1", "not a mapping"),
    ("a: [", "not plain YAML"),
    (f"a: {'[' * 200}{']' * 200}", "nested"),
]


@pytest.mark.parametrize(("text", "words"), STRANGE)
def test_a_strangers_configuration_is_data_or_refused(tmp_path, monkeypatch, text, words):
    monkeypatch.chdir(tmp_path)
    folder = record(tmp_path).folder
    (folder / "config.yaml").write_text(text + "\n")
    with pytest.raises(DamagedError, match=words):
        load_records(tmp_path, keys=None)
    assert not (tmp_path / "harm").exists()


def test_a_configuration_is_read_as_it_was_written(tmp_path):
    config = record(tmp_path, "space=fixed", "optimizer=adam", "seeds=2", "optimizer.eps=1e-30")
    assert identity(read_config(config.folder)) == identity(config.resolved)


@pytest.mark.parametrize("name", ["../keep", "/tmp", "a/../b", ".", "", "a//b", "a/", "a\\b", "c:x", "a\nb"])
def test_a_name_stays_inside_the_results(tmp_path, name):
    with pytest.raises(ConfigError, match="folder inside results"):
        compose([f'name="{name}"' if "\n" not in name else "name='a\nb'", f"results={tmp_path}"])
    assert compose(["name=a/b", f"results={tmp_path}"]).folder.parent == tmp_path / "a" / "b"


BAD_INDEX = [
    {"profile": "cpu", "experiments": {"e": {"command": "c", "runs": ["../keep"]}}},
    {"profile": "cpu", "experiments": {"e": {"command": "c", "runs": ["/keep"]}}},
    {"profile": "../..", "experiments": {}},
    {"profile": "cpu", "experiments": {"<b>": {"command": "c", "runs": []}}},
    {"profile": "cpu", "experiments": {"e": {"command": 1, "runs": []}}},
    {"profile": "cpu", "experiments": {"e": {"runs": []}}},
    {"profile": "cpu", "experiments": ["e"]},
    ["e"],
]


@pytest.mark.parametrize("index", BAD_INDEX, ids=json.dumps)
def test_a_strangers_index_does_not_lead_out_of_its_folder(tmp_path, index):
    (tmp_path / "index.json").write_text(json.dumps(index))
    with pytest.raises(DamagedError):
        read_index(tmp_path)


def test_rerun_removes_what_a_run_writes_and_nothing_else(tmp_path):
    config = record(tmp_path)
    (config.folder / "notes.txt").write_text("mine")
    (config.folder / "mine").mkdir()
    RunFolder(config.folder).clear()
    assert sorted(p.name for p in config.folder.iterdir()) == [".lock", "mine", "notes.txt"]


@pytest.mark.parametrize("what", ["", "metrics.csv", "config.yaml", "lock.json", "checkpoint.part"])
def test_nothing_is_written_through_a_symbolic_link(tmp_path, what):
    config = compose(["rerun=true", f"results={tmp_path / 'results'}", "progress=false", "network.hidden=[4]"])
    keep = tmp_path / "keep"
    keep.mkdir() if not what else keep.write_text("mine")
    (config.folder / what).parent.mkdir(parents=True)
    (config.folder / what).symlink_to(keep)
    with pytest.raises(DamagedError, match="symbolic link"):
        run(config)
    assert (list(keep.iterdir()) == []) if not what else (keep.read_text() == "mine")


def test_figures_are_not_written_over_what_is_no_figure(tmp_path):
    record(tmp_path / "results")
    mine = tmp_path / "curve.csv"
    mine.write_text("mine")
    with pytest.raises(UserError, match="did not write"):
        draw_one("loss_vs_lr", [tmp_path / "results"], tmp_path / "curve", "")
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["curve.csv"]
    assert mine.read_text() == "mine"
    mine.unlink()
    for _ in range(2):
        draw_one("loss_vs_lr", [tmp_path / "results"], tmp_path / "curve", "")
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == [
        *(f"curve.{e}" for e in ("csv", "json", "pdf", "png")),
        "curve_column.pdf",
    ]


RULE = """
from dataclasses import dataclass
from scaleinv.optim.sgd import SGD

@dataclass(frozen=True)
class Mine(SGD):
    pass
"""


def test_done_before_says_when_other_code_made_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rule = tmp_path / "my_rule_of_records.py"
    rule.write_text(RULE)
    words = ["progress=false", "network.hidden=[4]", "epochs=1", f"results={tmp_path}"]
    own = compose(["optimizer.name=my_rule_of_records:Mine", *words])
    run(own)
    assert "note" not in run(own)
    rule.write_text(RULE.replace("pass", "other = 1"))
    assert "note: made by other code: my_rule_of_records has changed; rerun=true" in run(own)
    plain = compose(words)
    run(plain)
    assert "note" not in run(plain)
    path = plain.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["sources"]["scaleinv"] = "another"
    manifest["versions"]["scaleinv"] = "0.0.9"
    manifest["git"] = {"commit": "abcdefabcdef", "dirty": True}
    path.write_text(json.dumps(manifest))
    assert "note: made by other code: scaleinv was 0.0.9 (abcdefa, changed), now" in run(plain)
    del manifest["sources"]
    for version, is_noted in (("0.0.9", True), (None, False)):
        manifest |= {"versions": {"scaleinv": version} if version else {}, "git": None}
        path.write_text(json.dumps(manifest))
        assert ("note" in run(plain)) == is_noted
