"""Promise: the everyday commands show what is there, and touch nothing else than what they are told to."""

import builtins
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from recorded import record

from scaleinv.report import compare
from scaleinv.report.commands.__main__ import main, parsed
from scaleinv.report.commands._run import runs_below
from scaleinv.report.commands.ls import listing
from scaleinv.report.members import best_epochs
from scaleinv.runs.config import leaves
from scaleinv.runs.defaults import defaults
from scaleinv.runs.folder import RunFolder
from scaleinv.runs.help import read_keys
from scaleinv.runs.outcomes import REFUSED
from scaleinv.runs.records import load_records
from scaleinv.runs.suggestions import conf_folder


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
    assert "changed" in listing(runs_below(tmp_path))[1]


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
    probe = "import sys, scaleinv.report.commands.__main__ as c\ntry: c.main(['--help'])\nexcept SystemExit: pass\n"
    probe += "print(sorted({'torch', 'pandas', 'matplotlib', 'scipy'} & set(sys.modules)), file=sys.stderr)"
    shown = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert shown.stderr.strip() == "[]"


def test_both_commands_say_whose_version_it_is(runs, command):
    code, out, _ = command("--version")
    assert code == 0
    assert out.splitlines() == runs("--version")
    assert [line.split()[0] for line in out.splitlines()] == ["scaleinv", "torch", "python"]


def everything(folder=Path()):
    """Return the content of every file, and where every link leads."""
    paths = sorted(folder.rglob("*"))
    return {str(p): p.readlink() if p.is_symlink() else p.read_bytes() for p in paths if p.is_symlink() or p.is_file()}


def weight_run():
    return next(Path("results/runs").glob("digits-weight-*"))


def test_rm_removes_what_a_run_wrote_and_no_other_run(runs):
    folder = weight_run()
    (folder / ".metrics.csv.0123abcd.part").write_text("half")  # killed while it wrote
    (folder / "weights").mkdir()
    (folder / "weights" / "0.safetensors").write_bytes(b"")
    (folder / "weights" / ".1.safetensors.0123abcd.part").write_bytes(b"")
    (folder / ".lock").touch()
    others = {path: content for path, content in everything().items() if not path.startswith(str(folder))}
    lines = runs("rm", "digits-weight", "--yes")
    assert lines[-1] == f"removed {folder.resolve()}"
    assert everything() == others
    assert not folder.exists()


@pytest.mark.parametrize("answer", ["", "n", "yes", None])
def test_rm_shows_what_goes_and_asks(runs, monkeypatch, answer):
    before = everything()
    assert "nobody to ask" in runs("rm", "space=gspace")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)

    def asked(question):
        if answer is None:
            raise EOFError
        return answer

    monkeypatch.setattr(builtins, "input", asked)
    lines = runs("rm", "space=gspace")
    assert lines[3].startswith("2 runs, 10 files, ")
    assert len(list(Path("results/runs").iterdir())) == (1 if answer == "yes" else 3)
    assert answer == "yes" or everything() == before


def add_a_note(folder):
    (folder / "notes.md").write_text("mine")


def add_a_folder(folder):
    (folder / "plots").mkdir()
    (folder / "plots" / "a.png").write_bytes(b"mine")


def add_a_file_to_the_weights(folder):
    (folder / "weights").mkdir()
    (folder / "weights" / "mine.txt").write_text("mine")


def link_a_file(folder):
    Path("elsewhere.csv").write_bytes((folder / "timing.csv").read_bytes() if (folder / "timing.csv").exists() else b"")
    (folder / "timing.csv").unlink(missing_ok=True)
    (folder / "timing.csv").symlink_to(Path("elsewhere.csv").resolve())


def link_the_weights(folder):
    Path("elsewhere").mkdir()
    Path("elsewhere/0.safetensors").write_bytes(b"mine")
    (folder / "weights").symlink_to(Path("elsewhere").resolve())


def break_the_manifest(folder):
    (folder / "manifest.json").write_text("{")


def publish(folder):
    (folder / "metrics.csv").rename(folder / "metrics.csv.xz")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (add_a_note, "no run wrote: notes.md"),
        (add_a_folder, "no run wrote: plots"),
        (add_a_file_to_the_weights, "no run wrote: weights/mine.txt"),
        (link_a_file, "no run wrote: timing.csv"),
        (link_the_weights, "no run wrote: weights"),
        (break_the_manifest, "not JSON"),
        (publish, "were published"),
    ],
)
def test_rm_refuses_what_it_cannot_tell_from_foreign_files(runs, change, what):
    change(weight_run())
    before = everything()
    assert what in runs("rm", "*", "--yes")
    assert everything() == before


def test_rm_refuses_a_run_that_is_being_written(runs):
    with RunFolder(weight_run()).locked():
        before = everything()
        assert "is writing this run" in runs("rm", "*", "--yes")
        assert everything() == before


def test_rm_follows_no_link_and_removes_nothing_without_being_told_what(runs):
    shutil.move("results/runs", "elsewhere")
    Path("results/runs").symlink_to(Path("elsewhere").resolve())
    before = everything()
    for words in (["runs"], ["results/runs"], [f"results/runs/{next(Path('elsewhere').iterdir()).name}"]):
        assert "links are not followed" in runs("rm", *words, "--yes")
    assert "no run is named" in runs("rm", "--yes")
    assert everything() == before


def test_export_joins_metrics_and_configuration(runs):
    assert runs("export", "--out", "all.csv") == ["all.csv: 21 rows of 3 runs"]
    read = pd.read_csv("all.csv")
    records = load_records("results", keys=None)
    pd.testing.assert_frame_equal(read, records.drop(columns="configuration"), check_dtype=False)
    assert runs("export", "space=gspace", "lr=0.1", "--columns", "space,lr,val_loss")[0] == "space,lr,val_loss"
    assert "did you mean val_loss?" in runs("export", "--columns", "val_los")


def test_export_to_parquet_and_latex(runs, monkeypatch):
    runs("export", "--out", "all.parquet")
    parquet = pytest.importorskip("pyarrow.parquet")
    assert parquet.read_table("all.parquet").num_rows == 21
    runs("export", "--columns", "space,lr,val_loss", "--out", "all.tex")
    assert Path("all.tex").read_text().splitlines()[4] == r"gspace & 0.1 & 1.1 \\"


def test_export_says_what_parquet_needs(runs, monkeypatch):
    def lacking(self, *args, **kwargs):
        raise ImportError

    monkeypatch.setattr(pd.DataFrame, "to_parquet", lacking)
    assert "parquet needs pyarrow" in runs("export", "--out", "all.parquet")
    assert not Path("all.parquet").exists()


def test_export_replaces_files_only_and_only_if_told_to(runs):
    Path("mine.csv").write_text("mine")
    Path("link.csv").symlink_to("mine.csv")
    Path("folder.csv").mkdir()
    assert "this file exists" in runs("export", "--out", "mine.csv")
    for name in ("link.csv", "folder.csv"):
        assert "is not replaced" in runs("export", "--out", name, "--force")
    assert Path("mine.csv").read_text() == "mine"
    runs("export", "--out", "mine.csv", "--force")
    assert Path("mine.csv").read_text().startswith("experiment,run,")
    assert "there are .csv" in runs("export", "--out", "mine.xls")


def test_export_leaves_out_what_is_not_done_and_says_so(runs):
    RunFolder(weight_run()).update_manifest(status="failed")
    assert runs("export", "--out", "all.csv") == ["all.csv: 9 rows of 2 runs, without 1 that are not done"]
    assert "none of these runs is done" in runs("export", "digits-weight")


def cells_of(line):
    return re.split(r" {2,}", line)


def test_table_takes_the_best_over_what_is_neither_row_nor_column(runs):
    head, *lines = runs("table", "space=weight,gspace_keep", "--rows", "space", "--columns", "dataset")
    assert cells_of(head) == ["space", "digits"]
    # losses as written by record(): loss x (1 + lr) x (1 + seed / 100) / 3 at the best epoch, the last
    expected = {"gspace": [1.1 / 3, 1.1 * 1.01 / 3], "weight": [2 * 1.01 / 3, 2 * 1.01 * 1.01 / 3]}
    for line, (space, losses) in zip(lines, expected.items(), strict=False):
        mean, std = pd.Series(losses).mean(), pd.Series(losses).std()
        assert [cell.strip().rstrip("*") for cell in cells_of(line)] == [space, f"{mean:.4g} ± {std:.2g}"]
    assert lines[0].endswith("*")
    assert "best over lr, chosen on the same seeds" in "\n".join(lines)
    assert "n = 2 seeds" in lines[3]
    csv = runs("table", "space=weight,gspace_keep", "--rows", "space", "--columns", "dataset", "--format", "csv")
    assert csv[0] == "space,dataset,method,lr,mean,std,n,diverged"
    assert csv[1].startswith('gspace,digits,"SGD / G, kept",0.1,')
    assert csv[2].startswith("weight,digits,SGD / weight,0.01,")


def test_table_refuses_to_put_two_configurations_into_one_cell(runs):
    message = runs("table", "space=gspace", "--rows", "space", "--columns", "lr")
    assert "two methods would share a cell: 'digits, SGD / G, " in message
    assert len(runs("table", "space=gspace", "--rows", "space", "--columns", "hidden")) > 3
    assert "did you mean space?" in runs("table", "--rows", "spce")
    assert "did you mean val_loss?" in runs("table", "--measure", "val_los")


def test_table_formats(runs):
    markdown = runs("table", "space=weight,gspace_keep", "--format", "markdown")
    assert markdown[0] == "| lr | SGD / G, kept | SGD / weight |"
    assert markdown[2].startswith("| 0.01 |  | **0.6767 ± 0.0048** |")
    latex = runs("table", "space=weight,gspace_keep", "--format", "latex")
    assert r"0.01 &  & 0.6767 $\pm$ 0.0048 \\" in latex


def test_table_marks_no_member_that_diverged(runs):
    folder = RunFolder(weight_run())
    text = folder.metrics.read_text()
    # seed 0 of the better rate diverges in its last epoch
    lines = [re.sub(r"^(.*,0.01,0,.*,2,.*),ok,$", r"\1,diverged,7", line) for line in text.splitlines()]
    folder.metrics.write_text("\n".join(lines) + "\n")
    folder.update_manifest(metrics_sha256=None)
    _, *lines = runs("table", "space=weight", "--rows", "lr")
    assert "(1 of 2 diverged)" in lines[0]
    assert lines[1].endswith("*")
    accuracy = runs("table", "space=weight", "--rows", "space", "--columns", "dataset", "--measure", "val_accuracy")
    assert cells_of(accuracy[1])[1].startswith("0.5 ± 0")


def test_compare_takes_methods_and_runs_and_is_scaleinv_compare(runs, capsys):
    grid = ["optimizer.lr=[0.1,0.01]", "seeds=3"]
    one = record("results", "name=pair", *grid)
    other = record("results", "space=gspace_keep", "name=pair", *grid, loss=0.5)
    by_run = runs("compare", other.run_id, one.run_id[-10:], "--results", "results", "pair")
    assert by_run == runs("compare", "SGD / G, kept", "SGD / weight", "--margin", "seeds", "pair")
    assert re.search(r"loss ratio, best epoch +0\.5 \[0\.5, 0\.5\] +3 seeds .*undecided", by_run[3])
    compare.main(["results/pair", "--methods", "SGD / G, kept", "SGD / weight"])
    assert capsys.readouterr().out.splitlines() == by_run


def test_compare_refuses_one_configuration_and_what_it_does_not_know(runs):
    record("results", "seeds=[5,6]")
    one, other = runs("ls", "--names", "space=weight")
    assert "differ in nothing but seeds" in runs("compare", one, other)
    assert "there is no method 'SGD / cycle'" in runs("compare", one, "SGD / cycle")
    assert "unrecognized arguments: --margn" in runs("compare", one, other, "--margn", "seeds")


def test_a_comparison_fits_a_narrow_terminal():
    row = {"dataset": "mnist", "effect": "loss ratio, best epoch", "value": 1.0, "low": 0.9, "high": 1.1, "n": 5}
    row |= {"of": "seeds", "p": 0.5, "holm": 1.0, "verdict": "undecided", "rule": "95 % interval " * 12}
    lines = compare.as_text(pd.DataFrame([row]), 80).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1:3] == ["  loss ratio, best epoch: undecided", "      1 [0.9, 1.1], 5 seeds, p = 0.5, Holm 1"]


def test_completion_lists_the_commands_and_the_runs(runs):
    script = "\n".join(runs("completion"))
    assert "local words='ls show table compare export rm completion'" in script
    # What the shell does, with a stand-in for the command.
    probe = f"scaleinv-runs() {{ echo digits-one digits-two mnist-one; }}\n{script}\n"
    probe += 'COMP_WORDS=(scaleinv-runs show dig) COMP_CWORD=2; _scaleinv_runs; echo "${COMPREPLY[@]}"'
    shown = subprocess.run(["bash", "-c", probe], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["digits-one", "digits-two"]


def test_help_has_our_keys_first_each_with_its_comment_and_the_budget_last(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = command("--help")
    assert code == 0
    lines = out.splitlines()
    keys = [match[1] for line in lines if (match := re.match(r"  ([\w.]+)=", line))]
    assert {key for key, _ in leaves(defaults()) if not key.endswith(".name")} <= set(keys)
    is_budget = [key.startswith("study.") for key in keys]
    assert is_budget == sorted(is_budget)
    assert any(is_budget)
    assert lines[lines.index("  epochs=5") + 1].startswith("      passes over the training images")
    assert max(len(line) for line in lines[: lines.index("  study.seeds=10")]) <= 80
    assert "    or cycle, fixed, " in out


def test_help_is_about_the_choices_in_the_command(command, tmp_path):
    code, out, _ = command("space=gspace_keep", "optimizer=adam", "-h")
    assert code == 0
    assert re.search(r"^  space\.fix=keep\n      \S", out, re.MULTILINE)
    assert "  optimizer.beta1=" in out
    assert "optimizer.nesterov" not in out
    (tmp_path / "mine" / "space").mkdir(parents=True)
    (tmp_path / "mine" / "space" / "own.yaml").write_text("# A space of my own.\nname: weight\n")
    assert "space=own: A space of my own." in command("--config-dir", "mine", "space=own", "--help")[1]
    code, out, err = command("space=gspcae", "--help")
    assert (code, out) == (REFUSED, "")
    assert "did you mean gspace?" in err


def test_help_reads_every_choice():
    for group in (path for path in conf_folder().iterdir() if path.is_dir()):
        for file in group.glob("*.yaml"):
            assert read_keys(file), file


def test_what_the_pages_show_is_understood():
    pages = "".join(page.read_text() for page in (Path(__file__).parents[1] / "docs").glob("*.md"))
    lines = re.findall(r"^scaleinv-runs .*", pages, re.MULTILINE)
    assert len(lines) >= 7
    for line in lines:
        assert callable(parsed(shlex.split(line, comments=True)[1:]).run), line
