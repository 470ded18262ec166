"""Promise: the everyday commands show what is there, and touch nothing else than what they are told to."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from recorded import record

from scaleinv.report.commands._run import runs_below
from scaleinv.report.commands.ls import listing
from scaleinv.report.members import best_epochs
from scaleinv.runs.folder import RunFolder
from scaleinv.runs.outcomes import REFUSED
from scaleinv.runs.records import load_records
from scaleinv.runs_command import main


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three runs, which a test gets as a copy."""
    folder = tmp_path_factory.mktemp("made") / "results"
    record(folder, "seeds=2", "optimizer.lr=[0.1,0.01]", loss=2.0, members=4)
    record(folder, "space=gspace_keep", "seeds=2", choices={"space": "gspace_keep"})
    record(folder, "space=gspace", "space.skeleton=maxprod", "network.hidden=[8]", loss=3.0)
    return folder


@pytest.fixture
def runs(made, tmp_path, monkeypatch, capsys):
    """Give the command beside a folder of three runs; return its lines, or what it refused."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made, "results")

    def invoke(*words):
        try:
            main(words)
        except SystemExit as stopped:
            return f"exit code {stopped.code}\n{capsys.readouterr().err}"
        return capsys.readouterr().out.splitlines()

    return invoke


def test_ls_has_a_line_per_run_and_a_column_per_key_that_differs(runs):
    head, *lines = runs("ls")
    # hidden differs; epochs, batch_size and so on do not. fix and skeleton are compared among the runs in G-space.
    assert head.split() == [
        "run",
        "space",
        "value",
        "lr",
        "seeds",
        "hidden",
        "skeleton",
        "fix",
        "best",
        "state",
        "when",
        "took",
    ]
    assert len(lines) == 3
    assert all("done" in line and "1s" in line for line in lines)
    assert "0.1,0.01" in next(line for line in lines if "weight" in line)


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["space=gspace"], 2),
        (["space=gspace_keep"], 1),  # the name of a preset
        (["space=gspace,weight"], 3),
        (["space!=gspace"], 1),
        (["optimizer.lr=0.01"], 1),  # one of the numbers of an axis
        (["lr=0.10", "space=weight"], 1),
        (["state=done", "experiment=runs"], 3),
        (["digits-gspace-*"], 2),
        (["digits-weight"], 1),
        (["runs"], 3),
        (["results/runs"], 3),
        (["skeleton=maxprod"], 1),
    ],
)
def test_words_choose_runs(runs, words, count):
    assert len(runs("ls", "--names", *words)) == count


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["ls", "spce=gspace"], "did you mean space?"),
        (["ls", "digits-gspace"], "means 2 runs"),
        (["ls", "digits-wieght"], "did you mean digits-weight"),
        (["ls", "space=cycle"], "no run is selected"),
        (["ls", "--results", "elsewhere"], "no such folder of records"),
        (["lss"], "did you mean ls?"),
        (["show", "runs"], "'runs' means 3 runs"),
    ],
)
def test_mistakes_are_explained(runs, words, what):
    message = runs(*words)
    assert message.startswith(f"exit code {REFUSED}\nerror: ")
    assert what in message


def test_ls_sorts_and_shows_the_best_that_the_figures_show(runs):
    values = [line.split()[-5] for line in runs("ls", "--sort", "best")[1:]]
    best = best_epochs(load_records("results")).groupby("configuration")["val_loss"].min()
    assert values == [f"{value:.4g}" for value in sorted(best)]
    assert runs("ls", "--sort", "best", "--reverse", "--last", "1")[1].split()[-5] == values[0]


def test_a_member_that_diverged_later_is_not_the_best(tmp_path):
    config = record(tmp_path, "optimizer.lr=[0.1,0.01]")
    path = RunFolder(config.folder).metrics
    head, *rows = [line.split(",") for line in path.read_text().splitlines()]
    rows = [
        [*row[:-2], "diverged", "3"] if row[head.index("lr")] == "0.01" and row[head.index("epoch")] == "2" else row
        for row in rows
    ]
    path.write_text("\n".join(map(",".join, [head, *rows])) + "\n")
    RunFolder(config.folder).update_manifest(metrics_sha256=None)
    (one,) = runs_below(tmp_path)
    assert one.best()["lr"] == "0.1"
    path.write_text(path.read_text() + "x\n")
    assert "changed" in listing([one])[1]


def test_a_narrow_terminal_gets_short_names_and_is_told_what_has_no_room(runs, capsys):
    lines = listing(runs_below(Path("results")), width=60)
    assert max(map(len, lines[:4])) <= 60
    assert lines[-1].startswith("without room: ")
    short = lines[1].split()[0]
    assert runs("show", short)[0].startswith("digits-")


def test_states(runs):
    (one, other, third) = runs_below(Path("results"))
    RunFolder(one.path).update_manifest(status="running")
    RunFolder(other.path).update_manifest(status="failed")
    (third.path / "manifest.json").write_text("{")
    with RunFolder(one.path).locked():
        assert [run.state for run in runs_below(Path("results"))] == ["running", "failed", "damaged"]
        assert (one.path / "lock.json").exists()
    (one.path / "lock.json").write_text("{}")  # a process that was killed leaves it
    assert [run.state for run in runs_below(Path("results"))] == ["stopped", "failed", "damaged"]
    assert "not JSON" in runs("show", third.name)


def test_what_another_program_made_is_no_run(runs):
    other = Path("results/runs/site")
    other.mkdir()
    (other / "manifest.json").write_text('{"name": "page"}')
    (other / "config.yaml").write_text("a: 1\n")
    (Path("results") / "broken").symlink_to("nowhere")
    assert len(runs("ls", "--names")) == 3


def test_show_says_what_differs_from_the_defaults_and_how_to_repeat(runs):
    lines = "\n".join(runs("show", runs("ls", "--names", "skeleton=maxprod")[0]))
    assert "space.skeleton  maxprod  (default: default)" in lines
    assert "network.hidden  8        (default: 32,32)" in lines
    assert "optimizer.memory" not in lines
    assert "val_loss 1.1" in lines
    assert "lr 0.1, seed 0, value 1" in lines
    assert "to repeat\n  scaleinv-run" in lines
    assert "python -m scaleinv.report.figures loss_vs_lr results/runs/digits-gspace-" in lines


def test_the_command_starts_without_torch_and_pandas(tmp_path):
    probe = "import sys, scaleinv.runs_command as c\ntry: c.main(['--help'])\nexcept SystemExit: pass\n"
    probe += "print(sorted({'torch', 'pandas', 'matplotlib', 'scipy'} & set(sys.modules)), file=sys.stderr)"
    shown = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert shown.stderr.strip() == "[]"


def test_both_commands_say_whose_version_it_is(runs, command):
    code, out, _ = command("--version")
    assert code == 0
    assert out.splitlines() == runs("--version")
    assert [line.split()[0] for line in out.splitlines()] == ["scaleinv", "torch", "python"]
