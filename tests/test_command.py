"""Promise: a wrong command starts nothing, says in three lines what, where and how to mend it, and exits with 2."""

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time

import pandas as pd
import pytest
from hydra import compose as theirs
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobRuntime
from hydra.version import VersionBase

from scaleinv.report.figures.__main__ import draw_one
from scaleinv.runs import outcomes
from scaleinv.runs.config import compose
from scaleinv.runs.errors import ConfigError, UserError
from scaleinv.runs.folder import RunFolder
from scaleinv.runs.records import load_records
from scaleinv.runs.run import run

QUICK = ["progress=false", "threads=1", "network.hidden=[8]", "epochs=1"]


WRONG = [
    (["optimizer.lrr=0.1"], "no key optimizer.lrr", "did you mean optimizer.lr?"),
    (["+optimizer.lrr=0.1"], "no key optimizer.lrr", "did you mean lr?"),
    (["+epoch=3"], "no key epoch", "did you mean epochs?"),
    (["space.skeleton=maxprod"], "no key space.skeleton in the space that is chosen", "choose a space that has it"),
    (["-m", "space=gspace,fixed", "space.value=2"], "no key space.value", "write ++space.value="),
    (["space=cycle", "space.skeleton=hungarian"], "changes when the network is rescaled; log_hungarian", "space"),
    (["space=gspace_keep", f"network.hidden={[64] * 32}"], "leave the range of float32", "maxprod"),
    (["space=gspcae"], "no space 'gspcae'", "did you mean gspace?"),
    (["optimizer=sdg"], "no optimizer 'sdg'", "did you mean sgd?"),
    (["dataset=imagenet"], "no dataset 'imagenet'", "mnist"),
    (["optimizer.lr=0"], "greater than 0, got 0", "optimizer.lr"),
    (["optimizer.lr=-0.1"], "greater than 0, got -0.1", "optimizer.lr"),
    (["optimizer.lr=nan"], "got nan", "optimizer.lr"),
    (["optimizer.lr=1e400"], "got inf", "optimizer.lr"),
    (["optimizer.lr=fast"], "must be a number or a list of numbers, got 'fast'", "optimizer.lr"),
    (["optimizer.lr=[0.1,slow]"], "got 'slow'", "optimizer.lr"),
    (["optimizer.lr=[]"], "empty list", "optimizer.lr"),
    (["optimizer.nesterov=[true,false]"], "must be true or false, got [True, False]", "add -m and write"),
    (["epochs=[1,2]"], "epochs must be a whole number, got [1, 2]", "add -m and write epochs=1,2"),
    (["network.negative_slope=[0.0,0.1]"], "must be a number, got [0.0, 0.1]", "network.negative_slope=0.0,0.1"),
    (["start=rescaled", "start.sigma=[1,-1]"], "at least 0 and finite, got -1", "start.sigma"),
    (["start=rescaled", "start.sigma=[1,wide]"], "a number or a list of numbers, got 'wide'", "start.sigma"),
    (["optimizer.lr=0.1,0.2"], "several values", "optimizer.lr=[0.1,0.2]"),
    (["~optimizer.lr"], "learning rate is missing", "optimizer.lr"),
    (["~epochs"], "key epochs is missing", "~"),
    (["epochs=-3"], "at least 0, got -3", "epochs"),
    (["epochs=many"], "epochs must be a whole number, got 'many'", "epochs"),
    (["epochs=1.5"], "epochs must be a whole number, got 1.5", "epochs"),
    (["keep=first"], "none, last, best or a list of epochs, got 'first'", "keep"),
    (["epochs=2", "keep=[1,3]"], "no epoch 3 to keep", "keep"),
    (["batch_size=0"], "at least 1, got 0", "batch_size"),
    (["seeds=-1"], "at least 1", "seeds"),
    (["seeds=[1,-2]"], "0 to 2^63 - 1, got -2", "seeds"),
    (["seeds=1.0"], "got 1.0", "seeds"),
    (["seeds=9999999999999999999999,1"], "several values", "seeds"),
    (["epochs=1", "epochs=2"], "epochs is given twice, as 1 and as 2", "leave one"),
    (["epochs=[1,2"], "cannot read the command", "quotes"),
    (["space=fixed", "space.value=0"], "finite and not 0", "space.value"),
    (["space=gspace", "space.fix=keep", "space.value=[1,2]"], "needs fix=overwrite", "space.value"),
    (["space=gspace", "space.fix=no"], "fix must be one of overwrite, keep, rescale", "space"),
    (["space=gspace", "network.hidden=[]"], "space gspace cannot take this network", "no hidden node"),
    (["space=fixed", "space.skeleton=diag"], "no skeleton is called 'diag'", "maxprod"),
    (["space=fixed", "space.skeleton={out:[[0]],into:[[0]]}"], "lists 1 hidden layers", "space"),
    (["network.hidden=[8,0]"], "needs a node", "network.hidden"),
    (["network.negative_slope=inf"], "finite", "network.negative_slope"),
    (["loss=cross_entrpy"], "no loss 'cross_entrpy'", "did you mean cross_entropy?"),
    (["loss=label_smoothing", "loss.smoothing=1"], "at least 0 and less than 1, got 1.0", "loss"),
    (["loss.smoothing=0.1"], "no key loss.smoothing in the loss that is chosen", "choose a loss that has it"),
    (["penalties=l2_weights"], "penalties must be a list, got 'l2_weights'", "write penalties=["),
    (["penalties=[l2_weight]"], "no penalty 'l2_weight'", "did you mean l2_weights?"),
    (["penalties=[{name:l2_weights,strenght:1}]"], "no key penalties.l2_weights.strenght", "did you mean strength?"),
    (["penalties=[{name:l2_weights,strength:-1}]"], "finite and at least 0, got -1.0", "penalties"),
    (["penalties=[{strength:1}]"], "no penalty None", "l2_coords, l2_weights"),
    (["task=scale_check", "penalties=[l2_weights]"], "without penalties", "set penalties=[]"),
    (["penalties=[l2_coords,l2_coords]"], "a penalty is listed twice", "penalties"),
    (["penalties=[{name:l2_weights,strength:[0,-1]}]"], "finite and at least 0, got -1.0", "penalties.l2_weights"),
    (["optimizer.nesterov=true"], "momentum greater than 0", "optimizer"),
    (["optimizer.memory=2"], "optimizer.memory must be true or false", "optimizer.memory"),
    (["dtype=half"], "float32, float64", "dtype"),
    (["device=tpu"], "no device 'tpu'", "auto, cpu"),
    (["device=cuda:99"], "cuda", "device"),
    (["threads=0"], "auto or a whole number from 1", "threads"),
    (["dataset.split=train"], "test, holdout", "dataset.split"),
    (["dataset.split=holdout", "dataset.holdout=9999"], "cannot hold out 9999", "dataset.holdout"),
    (["dataset=mnist", "dataset.root=void", "dataset.download=false"], "looked in void/MNIST/raw", "dataset=digits"),
    (["dataset=cifar10", "dataset.download=false"], "cache/scaleinv/cifar-10-batches-py", "dataset=digits"),
    (["experiment=figure99"], "no experiment 'figure99'", "experiment"),
]


@pytest.mark.parametrize(("arguments", "words", "more"), WRONG, ids=[" ".join(w[0]) for w in WRONG])
def test_wrong_commands(command, tmp_path, arguments, words, more):
    code, out, err = command(*arguments)
    assert code == outcomes.REFUSED
    assert words in err
    assert more in err
    assert err.startswith("error: ")
    assert len(err.strip().splitlines()) <= 3
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_file_is_named_with_both_sizes(command, tmp_path):
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte").write_bytes(b"half")
    code, _, err = command("dataset=mnist")
    assert code == outcomes.REFUSED
    assert "train-images-idx3-ubyte is damaged: it has 4 bytes, the published file 47,040,016" in err


def test_a_run_says_where_its_records_are(command):
    code, out, _ = command(*QUICK)
    assert code == outcomes.DONE
    folder, ending, stacks = out.strip().splitlines()
    assert len(load_records(folder)) == 2
    assert "1 members, 2 rows, best val_loss" in ending
    assert "stacks of 1: " in stacks


def test_runs_of_any_optimizer_can_be_drawn(command, tmp_path):
    assert command("-m", *QUICK, "optimizer=adamw,rmsprop", "optimizer.memory=true,false")[0] == outcomes.DONE
    files = draw_one("loss_vs_lr", [tmp_path], tmp_path / "picture", "")
    assert all(path.stat().st_size for path in files)
    drawn = set(pd.read_csv(tmp_path / "picture.csv")["method"])
    assert drawn == {f"{name}{memory} / weight" for name in ("AdamW", "RMSprop") for memory in ("", ", no memory")}


def test_a_sweep_runs_every_cell(command, tmp_path):
    code, out, _ = command("-m", *QUICK, "space=weight,fixed", "optimizer=sgd,adam")
    assert code == outcomes.DONE
    assert "4 of 4 cells done" in out
    records = load_records("results")
    assert len(records.groupby(["space", "optimizer"])) == 4
    assert [p.name for p in (tmp_path / "results").iterdir()] == ["runs"]


def test_a_swept_lr_gives_the_same_rows_as_a_stacked_one(command):
    base = [*QUICK, "dtype=float64"]
    command("-m", *base, "optimizer.lr=0.1,0.01,0.001", "name=swept")
    command(*base, "optimizer.lr=[0.1,0.01,0.001]", "name=stacked")
    one, other = (
        load_records(f"results/{name}").sort_values(["lr", "epoch"])[["lr", "epoch", "train_loss", "val_loss"]]
        for name in ("swept", "stacked")
    )
    assert one.to_numpy() == pytest.approx(other.to_numpy(), rel=1e-9, nan_ok=True)


def test_one_bad_cell_does_not_stop_the_others(command):
    code, out, err = command("-m", "progress=false", "epochs=1", "space=gspace,weight", "network.hidden=[]")
    assert code == outcomes.REFUSED
    assert "1 of 2 cells done" in out
    assert "run again: scaleinv-run" in err
    assert "space=gspace" in err
    assert len(load_records("results")) == 2


def test_help_and_completion_answer_without_torch(command):
    probe = "import sys; sys.argv = ['scaleinv-run', '--help']\nfrom scaleinv import cli\ntry:\n cli.main()\n"
    probe += "finally:\n print('torch' in sys.modules, file=sys.stderr)"
    shown = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert shown.stderr.strip().endswith("False")
    assert "scaleinv-run" in shown.stdout


AGAIN = [
    (["space=gspace_keep", "name='a \"b\" $c'", "optimizer.lr=[0.1, 0.2]"], 1),
    (["-m", "space=weight,gspace_keep", "progress=false"], 2),
    (
        ["experiment=fig_4_10", "profile=smoke", "dataset=digits", "network.hidden=[8]", "optimizer.lr=0.1", "seeds=1"],
        3,
    ),
]


@pytest.fixture
def makes_the_same(command, monkeypatch):
    """Whether the command beside some records, given elsewhere, makes these records and no others."""

    def compare(folder, elsewhere):
        program, *arguments = shlex.split((folder / "command.txt").read_text())
        elsewhere.mkdir()
        monkeypatch.chdir(elsewhere)
        assert program == "scaleinv-run"
        assert command(*arguments)[0] == outcomes.DONE
        (made,) = (path.parent for path in elsewhere.rglob("manifest.json"))
        names = ("metrics.csv", "config.yaml", "command.txt")
        return all((made / name).read_bytes() == (folder / name).read_bytes() for name in names)

    return compare


@pytest.mark.parametrize(("arguments", "runs"), AGAIN, ids=["quoted", "sweep", "experiment"])
def test_the_command_beside_the_records_makes_them_again(command, makes_the_same, tmp_path, arguments, runs):
    assert command(*arguments, "threads=1", "epochs=1")[0] == outcomes.DONE
    folders = [path.parent for path in tmp_path.rglob("manifest.json")]
    assert len(folders) == runs
    for i, folder in enumerate(folders):
        assert makes_the_same(folder, tmp_path / f"{i}")


def test_from_python_too(makes_the_same, tmp_path):
    config = compose([*QUICK, "space=weight", "name=a b", "space=fixed_keep"])  # a script may change its mind
    run(config)
    assert makes_the_same(tmp_path / config.folder, tmp_path / "elsewhere")


@pytest.mark.parametrize(
    "arguments", [wrong[0] for wrong in WRONG[::9] if "twice" not in wrong[1]], ids=lambda words: " ".join(words)
)
def test_python_says_what_the_command_says(command, arguments):
    with pytest.raises(UserError) as refused:
        run(compose(arguments))
    assert f"{refused.value}\n" == command(*arguments)[2]


def test_overrides_are_a_list():
    with pytest.raises(ConfigError, match="overrides are a list"):
        compose("dataset=mnist")


def test_compose_leaves_another_hydra_application_alone(tmp_path):
    (tmp_path / "theirs.yaml").write_text("key: 1\n")
    with initialize_config_dir(str(tmp_path), job_name="theirs", version_base="1.2"):
        before = [cls.instance() for cls in (GlobalHydra, JobRuntime, VersionBase)]
        state = [before[0].hydra, before[1].get("name"), before[2].getbase()]
        assert compose(["space=gspace"]).labels["space"] == "gspace"
        with pytest.raises(ConfigError, match="no space"):
            compose(["space=gspcae"])
        after = [cls.instance() for cls in (GlobalHydra, JobRuntime, VersionBase)]
        assert all(one is other for one, other in zip(before, after, strict=True))
        assert [after[0].hydra, after[1].get("name"), after[2].getbase()] == state
        assert theirs("theirs", ["key=2"]).key == 2


def test_files_of_another_folder_are_named_in_the_command(command, makes_the_same, tmp_path):
    (tmp_path / "more" / "space").mkdir(parents=True)
    (tmp_path / "more" / "space" / "mine.yaml").write_text("defaults: [gspace, _self_]\nvalue: 0.5\n")
    assert command("--config-dir", "more", *QUICK, "space=mine")[0] == outcomes.DONE
    (folder,) = (path.parent for path in tmp_path.rglob("manifest.json"))
    assert makes_the_same(folder, tmp_path / "elsewhere")
    assert RunFolder(folder).manifest["choices"]["space"] == "mine"


def test_run_again_is_quoted_for_the_shell(command):
    cells = ["space=gspace,weight", "network.hidden=[]", "name=a b"]
    _, _, err = command("-m", "progress=false", "epochs=1", *cells)
    (line,) = (line for line in err.splitlines() if "run again" in line)
    assert line.startswith("  failed; run again: scaleinv-run ")
    again = shlex.split(line.partition("run again: ")[2])[1:]
    assert {"space=gspace", "network.hidden=[]"} <= set(again)
    config = compose(again)
    assert (config.name, config.network.hidden, config.labels["space"]) == ("a b", [], "gspace")


@pytest.mark.parametrize(("sent", "code"), [("SIGTERM", outcomes.TERMINATED), ("SIGINT", outcomes.INTERRUPTED)])
def test_signals_end_a_run_in_good_order(command, tmp_path, sent, code):
    def send():
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("results/runs/*/checkpoint.bin")) and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(os.getpid(), getattr(signal, sent))

    # A shell starts background jobs, and with them these tests, deaf to Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    sender = threading.Thread(target=send)
    sender.start()
    endless = ["epochs=100000", "checkpoint_seconds=0"]
    try:
        returned, _, err = command(*QUICK[:-1], *endless)
    finally:
        sender.join()
        signal.signal(signal.SIGINT, before)
    assert returned == code
    assert "Traceback" not in err
    (manifest,) = tmp_path.glob("results/runs/*/manifest.json")
    assert json.loads(manifest.read_text())["status"] == "interrupted"
    assert not (manifest.parent / "lock.json").exists()


def test_the_scale_check_experiment(command, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    code, out, _ = command("experiment=scale_check", "task.steps=5")
    assert code == outcomes.DONE
    assert "10 of 20 comparisons invariant" in out
    records = load_records("results/cpu")
    assert set(records["start"]) == {"W", "rescaled W"}
    assert len(records) == 20 * 2 * 6
    command("experiment=scale_check", "task.steps=5", "loss=mean_squared_error")
    (squared,) = set(load_records("results/cpu").run) - set(records.run)
    assert load_records(f"results/cpu/{squared}").loss.min() < 0.5 < records.loss.min()
