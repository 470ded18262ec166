"""Promise: a study trains what is missing and nothing twice, and its figures and claims come from its records alone."""

import json
import lzma
import shutil
import subprocess
import sys

import pandas as pd
import pytest

from scaleinv import study as study_module
from scaleinv.report import page as page_module
from scaleinv.report import release as release_module
from scaleinv.report.claims.base import FEWEST
from scaleinv.report.figures import __main__ as figures_module
from scaleinv.report.figures.__main__ import draw_all, draws_study, known_figures
from scaleinv.report.judging import NOT_RECORDED, judge_all, known_claims
from scaleinv.report.output import ForeignError
from scaleinv.report.release import IncompleteError, departures, publish
from scaleinv.runs.errors import UserError
from scaleinv.runs.folder import DamagedError, RunFolder
from scaleinv.runs.records import MissingError, experiment_runs, load_experiment, read_index
from scaleinv.study import experiments, main, once, part, plan, reuse, train, write_index

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The whole smoke profile."""
    results = tmp_path_factory.mktemp("results")
    base = [f"results={results}", "progress=false", "threads=1"]
    jobs = plan("smoke", [name for name in experiments() if name != "invariances"], base)
    jobs += plan("smoke", ["invariances"], [*base, "seeds=4"])  # of 60, which count 840 ranks
    folder = results / "smoke"
    write_index("smoke", jobs, folder)
    assert train(jobs) == []
    assert len(once(jobs)) < len(jobs)  # experiments share runs
    assert {job.config.folder for job in jobs} == {p.parent for p in folder.glob("*/manifest.json")}
    return folder


@pytest.fixture(scope="module")
def release(study, tmp_path_factory):
    """The study's release: its records, figures, claims and pages."""
    out = tmp_path_factory.mktemp("release")
    told = publish(study, out)
    assert told["runs"] == len(list((out / "smoke").glob("*/metrics.csv.xz")))
    return out


def test_every_figure_is_drawn(release):
    planned = read_index(release / "smoke")["experiments"]
    known = known_figures()
    wanted = {name for name, module in known.items() if draws_study(module) or module.EXPERIMENT in planned}
    wanted.remove("bench")  # there is none beside this study
    assert {"claims_forest", "equal_starts", "paired_ratios", "rate_sensitivity", "epochs_to_loss"} <= wanted
    numbers = "1_1 1_5 1_6 2_2 2_3 3_1 4_1 4_2 4_3 4_4 4_5 4_6 4_7 4_9 4_10"
    assert {f"fig_{number}" for number in numbers.split()} <= wanted
    figures = release / "figures"
    endings = (".pdf", ".png", ".csv", ".json", "_column.pdf")
    drawn = {p.name for p in figures.iterdir()}
    tables = {name for name in wanted if f"{name}.tex" in drawn}
    assert drawn == {f"{name}{e}" for name in wanted for e in endings} | {f"{name}.tex" for name in tables}
    assert {"claims_forest", "equal_starts"} <= tables
    lines = (figures / "equal_starts.tex").read_text().splitlines()
    assert [line.count("&") for line in lines if "&" in line] == [7] * (
        1 + len(pd.read_csv(figures / "equal_starts.csv"))
    )
    page = (release / "index.html").read_text()
    for name in wanted:
        assert len(pd.read_csv(figures / f"{name}.csv")) > 0
        assert len(json.loads((figures / f"{name}.json").read_text())["caption"]) > 30
        assert f"src='figures/{name}.png'" in page
    assert "http" not in page


def test_every_claim_is_judged(study):
    table = judge_all(study)
    assert set(table["claim"]) == {claim.name for claim in known_claims()}
    unrecorded = table[table["verdict"] == NOT_RECORDED]
    assert set(unrecorded["claim"]) == {"fixing_costs_no_runtime", "g_sgd_costs_little"}  # no benchmark beside it
    assert unrecorded["claim_rule"].str.contains("make bench").all()
    rest = table.drop(unrecorded.index)
    assert rest[["effect", "low", "high"]].notna().all().all()
    decided = rest[rest["verdict"].isin(["confirmed", "refuted", "equivalent"])]
    assert (decided.loc[decided["p"].notna(), "n"] >= FEWEST).all()  # two seeds decide nothing; exact counts do
    counted = table[table["claim"] == "fewer_invariances_than_hidden_nodes"]
    assert set(counted["verdict"]) == {"refuted"}
    assert rest.loc[rest["decides"], "rule"].str.contains("confirmed").all()
    shown = set(known_figures())
    assert set(" ".join(table["figures"]).split()) <= shown


def test_flat_in_sigma(study):
    """Invariant spaces do not notice how unbalanced the start was; weight space does."""
    records = load_experiment(study, "stress", ["start.sigma"])
    last = records[(records["epoch"] == 1) & (records["lr"] == records["lr"].min())]
    spread = last.groupby(["space", "optimizer", "seed"])["val_loss"].agg(lambda v: v.max() / v.min() - 1)
    assert spread.loc["cycle"].max() == spread.loc["gspace"].max() == 0  # powers of two: exactly
    assert spread.loc["weight"].min() > 1e-3


def test_nothing_is_trained_twice(study, capsys):
    jobs = plan("smoke", ["fig_4_1"], [f"results={study.parent}", "progress=false", "threads=1"])
    before = {job.config.run_id: RunFolder(job.config.folder).metrics.stat().st_mtime_ns for job in jobs}
    assert train(jobs) == []
    assert before == {job.config.run_id: RunFolder(job.config.folder).metrics.stat().st_mtime_ns for job in jobs}
    assert "6 runs, 6 of them done" in capsys.readouterr().out


def test_a_release_is_reused_run_by_run_and_a_part_is_trained_in_the_order_given(release, tmp_path, capsys):
    names = ["fig_2_3", "fig_4_1", "fig_4_10"]
    jobs = plan("smoke", names, [f"results={tmp_path}", "progress=false", "threads=1"])
    chosen = part(jobs, ["fig_4_10", "fig_2_3"], [])
    assert [job.experiment for job in chosen] == ["fig_4_10"] * 3 + ["fig_2_3"]
    assert part(jobs, [], ["mnist"]) == []
    begun = RunFolder(chosen[0].config.folder)
    begun.path.mkdir(parents=True)
    begun.metrics.write_text("begun")
    begun.update_manifest(status="interrupted")
    assert reuse(chosen, release / "smoke") == 4
    assert reuse(chosen, release / "smoke") == 0
    for job in chosen:
        own, released = RunFolder(job.config.folder), RunFolder(release / "smoke" / job.config.run_id)
        assert own.manifest == released.manifest
        assert own.read_metrics() == released.read_metrics()
    before = begun.metrics.stat().st_mtime_ns
    assert train(chosen) == []
    assert "4 runs, 4 of them done" in capsys.readouterr().out
    assert begun.metrics.stat().st_mtime_ns == before
    run = release / "smoke" / chosen[0].config.run_id / "metrics.csv.xz"
    whole = run.read_bytes()
    run.write_bytes(lzma.compress(b"changed"))
    shutil.rmtree(begun.path)
    with pytest.raises(DamagedError, match="metrics were changed"):
        reuse(chosen, release / "smoke")
    run.write_bytes(whole)


@pytest.fixture
def damaged(study, tmp_path):
    """The study without one run."""
    copy = tmp_path / "smoke"
    shutil.copytree(study, copy)
    shutil.rmtree(experiment_runs(copy, "long_grid")[0])
    return copy


def test_missing_records_are_named_and_the_rest_is_drawn(damaged, tmp_path, monkeypatch):
    some = {name: known_figures()[name] for name in ("fig_4_1", "long_grid")}
    monkeypatch.setattr(figures_module, "known_figures", lambda: some)
    problems = draw_all(damaged, tmp_path / "figures", "")
    assert len(problems) == 1
    assert "scaleinv-run experiment=long_grid profile=smoke" in problems[0]
    assert (tmp_path / "figures" / "fig_4_1.png").exists()
    assert not (tmp_path / "figures" / "long_grid.png").exists()
    with pytest.raises(MissingError, match="1 of 1 runs are not done"):
        load_experiment(damaged, "long_grid")
    index = read_index(damaged)
    del index["experiments"]["long_grid"]
    (damaged / "index.json").write_text(json.dumps(index))
    assert draw_all(damaged, tmp_path / "older", "") == []  # a study from before there was a long_grid


def test_a_part_is_trained_and_drawn_alone(tmp_path, monkeypatch, capsys):
    """What is not asked for is neither missed nor drawn, and the command ends well."""
    monkeypatch.setattr("scaleinv.study.experiments", lambda: ["fig_1_2", "pooling"])
    options = [f"results={tmp_path}", "progress=false", "--profile", "smoke", "--only", "fig_1_2"]
    monkeypatch.setattr(sys, "argv", ["study", *options])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert {path.stem for path in (tmp_path / "smoke" / "figures").glob("*.png")} == {"fig_1_2", "fig_1_3"}
    said = capsys.readouterr()
    assert "not drawn" not in said.err
    assert "claims need every experiment" in said.out


def test_an_incomplete_study_is_not_published(damaged, tmp_path):
    with pytest.raises(IncompleteError, match="long_grid"):
        publish(damaged, tmp_path / "release")
    assert not (tmp_path / "release").exists()


def test_a_partial_release_keeps_older_runs_by_data_set_and_names_what_is_not_finished(damaged, study, tmp_path):
    index = read_index(damaged)
    (older,) = index["experiments"]["long_grid"]["runs"]
    newer = experiment_runs(study, "fig_4_10")[0].name
    index["experiments"] = {name: index["experiments"][name] for name in ("fig_2_3", "long_grid", "stress")}
    index["experiments"]["stress"]["runs"] = index["experiments"]["stress"]["runs"][:1]
    (damaged / "index.json").write_text(json.dumps(index))
    shutil.copytree(study / older, damaged / older)
    out = tmp_path / "release"
    drawn = {name: known_figures()[name] for name in ("fig_2_3",)}
    with pytest.MonkeyPatch.context() as patch:
        for module in (figures_module, release_module, page_module):
            patch.setattr(module, "known_figures", lambda: drawn)
        table = judge_all(study)
        patch.setattr(release_module, "judge_all", lambda _: table)
        assert publish(damaged, out)["incomplete"] == []
        shutil.rmtree(damaged / experiment_runs(damaged, "fig_2_3")[0].name)  # the release has this very run
        index["experiments"]["long_grid"]["runs"] = [f"{newer}-longer"]  # not trained; the release has an older one
        index["experiments"]["stress"]["runs"] = ["cifar10-weight"]  # nobody has one
        (damaged / "index.json").write_text(json.dumps(index))
        with pytest.raises(IncompleteError, match="2 experiments are incomplete"):
            publish(damaged, out)
        summary = publish(damaged, out, partial=True)
    assert summary["incomplete"] == ["long_grid", "stress"]
    assert read_index(out / "smoke")["experiments"]["long_grid"]["runs"] == [older]
    assert set(summary["experiments"]) == {"fig_2_3", "long_grid"}
    assert "long_grid, stress" in (out / "README.md").read_text()
    assert "long_grid, stress" in (out / "index.html").read_text()


def test_a_release_holds_the_study(study, release):
    for name in read_index(study)["experiments"]:
        pd.testing.assert_frame_equal(load_experiment(release / "smoke", name), load_experiment(study, name))
    found, compared = departures(study, release / "smoke")
    assert compared > 100
    assert found.empty


def test_published_again_it_is_the_same_to_the_byte(study, release, monkeypatch):
    """Figures are drawn alike (panels, networks and formulas are tried), pages too, and the reader's own file stays."""
    some = {name: known_figures()[name] for name in ("fig_1_5", "fig_4_2", "stress")}
    monkeypatch.setattr(figures_module, "known_figures", lambda: some)
    (release / "notes.txt").write_text("mine")
    before = {p: p.read_bytes() for p in release.rglob("*") if p.is_file()}
    times = {p: p.stat().st_mtime_ns for p in before}
    publish(study, release)
    assert before == {p: p.read_bytes() for p in release.rglob("*") if p.is_file()}
    drawn = {p.stem for p in (release / "figures").glob("*.png") if p.stat().st_mtime_ns != times[p]}
    assert drawn == set(some)


def test_a_release_is_not_published_over_what_no_release_wrote(study, tmp_path):
    """A file of the reader's where a page would be, beside the runs, in a run, or the study itself."""
    for mine in ("README.md", "claims.csv", "smoke/notes.txt", f"smoke/{experiment_runs(study, 'fig_1_1')[0].name}/a"):
        out = tmp_path / mine.replace("/", "_")
        (out / mine).parent.mkdir(parents=True)
        (out / mine).write_text("mine")
        with pytest.raises(ForeignError):
            publish(study, out)
        assert [path for path in out.rglob("*") if path.is_file()] == [out / mine]
    with pytest.raises(ForeignError, match="onto itself"):
        publish(study, study.parent)
    assert not (study.parent / "release.json").exists()
    (tmp_path / "smoke").symlink_to(tmp_path / "README.md")
    with pytest.raises(ForeignError):
        publish(study, tmp_path)


def test_a_changed_run_is_not_published(damaged, study, tmp_path):
    run = experiment_runs(study, "long_grid")[0]
    shutil.copytree(run, damaged / run.name)
    (damaged / run.name / "metrics.csv").write_text("")
    with pytest.raises(DamagedError, match="metrics were changed"):
        publish(damaged, tmp_path / "release")
    assert not (tmp_path / "release").exists()


def test_departures_are_found(study, tmp_path):
    copy = tmp_path / "smoke"
    shutil.copytree(study, copy)
    run = experiment_runs(copy, "fig_4_10")[0]
    table = pd.read_csv(run / "metrics.csv")
    table["val_loss"] *= 3
    table.to_csv(run / "metrics.csv", index=False)
    RunFolder(run).finish(("seed", "value", "lr", "epoch"))
    found, _ = departures(copy, study)
    assert set(found.loc[found["experiment"] == "fig_4_10", "space"]) == {"weight"}


def test_a_wrong_name_and_a_folder_without_index(tmp_path):
    words = [sys.executable, "-m", "scaleinv.study", "--profile", "smoke", "--only", "fig_4_11"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "there is no experiment 'fig_4_11'" in done.stderr
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError, match="index"):
        read_index(tmp_path)
    for words in (["claims", str(tmp_path)], ["figures", "all", str(tmp_path), "--out", "pictures"]):
        words = [sys.executable, "-m", f"scaleinv.report.{words[0]}", *words[1:]]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert done.stderr.count("there is no index of a study") == 1
        assert len(done.stderr.strip().splitlines()) == 3
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["[]", "{}", "mine"])
def test_an_index_of_somebody_else_is_not_overwritten(tmp_path, content):
    (tmp_path / "index.json").write_text(content)
    with pytest.raises(UserError, match="no index of a study"):
        write_index("smoke", [], tmp_path)
    assert (tmp_path / "index.json").read_text() == content


def test_a_study_says_what_the_file_system_refuses(tmp_path, monkeypatch):
    (tmp_path / "results").write_text("mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(study_module, "experiments", lambda: ["fig_2_3"])
    monkeypatch.setattr(sys, "argv", ["study", "--profile", "smoke", "--plan"])
    with pytest.raises(SystemExit, match="this is a file, not a folder\n  where: results\n  mend: "):
        study_module.main()
