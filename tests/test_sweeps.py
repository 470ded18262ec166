"""Promise: a sweep touches nothing of the user's, accounts for every cell, and ends with what happened."""

import json
import math
import shlex

import pytest
from hydra.core.plugins import Plugins

from scaleinv.runs import outcomes
from scaleinv.runs.config import OBJECTIVES, compose
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.folder import RunFolder
from scaleinv.runs.objective import objective
from scaleinv.runs.records import load_records
from scaleinv.runs.run import run
from scaleinv.runs.sweeps import expand
from scaleinv.training.stack import Stack

# The classes that Hydra uses; importing their modules would make others.
CORE = "hydra._internal.core_plugins"
LAUNCHER = Plugins.instance().class_name_to_class[f"{CORE}.basic_launcher.BasicLauncher"]
SWEEPER = Plugins.instance().class_name_to_class[f"{CORE}.basic_sweeper.BasicSweeper"]
QUICK = ["progress=false", "threads=1", "network.hidden=[8]", "epochs=1"]


@pytest.fixture
def fails_in(monkeypatch):
    """Make the training of one space fail."""

    def arrange(space):
        train = Stack.train_epoch

        def fails(self, *args, **kwargs):
            if self.cell.space.__class__.__module__.endswith(space):
                raise ZeroDivisionError
            return train(self, *args, **kwargs)

        monkeypatch.setattr(Stack, "train_epoch", fails)

    return arrange


def tree(folder, but=()):
    """Every file below a folder with its bytes, and every folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if path.relative_to(folder).parts[0] not in but
    }


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("where", ["out", "out/deeper", "."])
def test_a_sweep_leaves_its_folder_as_it_was(command, tmp_path, fails_in, where, fails):
    """What lies there is the user's, even if it looks like ours or like Hydra's, and is not read either."""
    if fails:
        fails_in("gspace")
    mine = tmp_path / where
    (mine / "empty").mkdir(parents=True)
    (mine / "0").mkdir()
    for name in ("notes.txt", "multirun.yaml", "1/notes", "7.outcome.json"):
        (mine / name).parent.mkdir(exist_ok=True)
        (mine / name).write_text(json.dumps({"overrides": ["space=fixed"], "code": 1}))
    before = tree(tmp_path)
    code, out, _ = command("-m", *QUICK, "space=weight,gspace", f"hydra.sweep.dir={where}")
    assert code == (outcomes.FAILED if fails else outcomes.DONE)
    assert f"{1 if fails else 2} of 2 cells done" in out
    assert tree(tmp_path, but=["results"]) == before
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["runs"]


def test_results_may_be_the_folder_of_the_sweep(command, tmp_path):
    for spaces, cells in (("weight,gspace", 2), ("weight,gspace,fixed", 3)):
        code, out, _ = command("-m", *QUICK, f"space={spaces}", "hydra.sweep.dir=results")
        assert (code, f"{cells} of {cells} cells done" in out) == (outcomes.DONE, True)
    assert len(load_records(tmp_path / "results")) == 6
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["runs"]


def test_nothing_is_written_through_a_link(command, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "out" / "multirun.yaml").symlink_to(tmp_path / "mine")
    code, _, err = command("-m", *QUICK, "space=weight,gspace", "hydra.sweep.dir=out")
    assert code == outcomes.REFUSED
    assert "link" in err
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "results").exists()


def test_a_refused_sweep_makes_no_folder(command, tmp_path):
    code, _, err = command("-m", *QUICK, "space=weight,gspcae")
    assert code == outcomes.REFUSED
    assert "did you mean gspace?" in err
    assert list(tmp_path.iterdir()) == []


def test_cells_that_are_written_elsewhere_count(command, tmp_path):
    code, out, _ = command("-m", *QUICK, "results=a,b")
    assert code == outcomes.DONE
    assert "2 of 2 cells done" in out
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}


def loses(monkeypatch, how):
    """Let the launcher lose cells as workers that are killed do."""
    launch = LAUNCHER.launch

    def lossy(self, job_overrides, initial_job_idx):
        returned = launch(self, job_overrides[:1], initial_job_idx)
        if how == "raises":
            raise RuntimeError("a worker was killed\nand more")
        return returned if how == "one" else []

    monkeypatch.setattr(LAUNCHER, "launch", lossy)


@pytest.mark.parametrize(("how", "back"), [("one", 1), ("all", 0), ("raises", 0)])
def test_a_cell_that_does_not_come_back_has_failed_each_time(command, monkeypatch, how, back):
    arguments = ["-m", *QUICK, "space=weight,gspace,fixed"]
    with monkeypatch.context() as patch:
        loses(patch, how)
        for _ in range(2):
            code, out, err = command(*arguments)
            assert code == outcomes.FAILED
            assert f"{back} of 3 cells done" in out
            assert err.count("nothing came back; run again: scaleinv-run") == 3 - back
            assert "Traceback" not in err
            assert ("the sweep stopped: RuntimeError: a worker was killed\n" in err) == (how == "raises")
    assert command(*arguments)[0] == outcomes.DONE


def test_codes_of_failed_cells(command, fails_in):
    fails_in("gspace")
    cells = ["-m", "progress=false", "threads=1", "epochs=1"]
    assert command(*cells, "network.hidden=[8]", "space=weight,gspace")[0] == outcomes.FAILED
    assert command(*cells, "network.hidden=[]", "space=weight,cycle")[0] == outcomes.REFUSED
    assert command(*cells, "network.hidden=[8],[]", "space=weight,gspace")[0] == outcomes.FAILED


def test_cells_say_which_preset_they_are(command, tmp_path):
    code, out, _ = command("-m", *QUICK, "space=glob(g*)", "optimizer=sgd")
    assert code == outcomes.DONE
    presets = ["gspace", "gspace_invariant", "gspace_keep"]
    lines = out.splitlines()
    folders = [tmp_path / lines[lines.index(f"[{i}/3] space={preset}") + 1] for i, preset in enumerate(presets, 1)]
    assert [RunFolder(folder).manifest["choices"]["space"] for folder in folders] == presets
    records = load_records(tmp_path, keys=["choices.space", "choices.optimizer"])
    assert dict(zip(records["run"], records["choices.space"], strict=True)) == {
        folder.name: preset for folder, preset in zip(folders, presets, strict=True)
    }
    assert set(records["choices.optimizer"]) == {"sgd"}


@pytest.fixture
def told(monkeypatch):
    """What a sweeper is told about its cells."""
    found = []

    def sweep(self, arguments, sweep=SWEEPER.sweep):
        returned = sweep(self, arguments)
        found.extend(job.return_value for batch in returned for job in batch)
        return returned

    monkeypatch.setattr(SWEEPER, "sweep", sweep)
    return found


def test_a_sweeper_is_told_the_objective(command, told, fails_in, tmp_path):
    """The best loss; the same when all is done before; infinity, never NaN, for what diverged or failed."""
    arguments = ["-m", *QUICK, "batch_size=2000", "optimizer.lr=0.1,1e308"]
    command(*arguments)
    command(*arguments)
    best = load_records(tmp_path).groupby("lr")["val_loss"].min()
    assert told[:2] == told[2:] == list(best)
    fails_in("gspace")
    command("-m", *QUICK, "space=weight,gspace", "objective=last_val_loss")
    assert told[4] < math.inf
    assert told[5] == math.inf
    command("-m", *QUICK, "space=weight,fixed", "objective=none")
    assert told[6:] == [None, None]


def test_the_objective_of_a_run(tmp_path):
    base = [*QUICK[:-1], "epochs=3", "optimizer.lr=[0.1,1e200,0.8]", f"results={tmp_path}"]
    config = compose(base)
    run(config)
    records = load_records(config.folder)
    finite = records[records["status"] == "ok"]
    assert objective(config) == finite["val_loss"].min()
    assert objective(compose([*base, "objective=last_val_loss"])) == finite[finite["epoch"] == 3]["val_loss"].min()
    assert objective(compose([*base, "objective=none"])) is None
    assert {compose([*base, f"objective={name}"]).run_id for name in OBJECTIVES} == {config.run_id}


def test_seeds_are_no_sweep(command, tmp_path):
    for seeds, instead in {
        "seeds=range(0,3)": "[range(0,3)]", "seeds=0,1,2": "[0,1,2]", "seeds=choice(0,1,2)": "[0,1,2]",
    }.items():  # fmt: skip
        code, _, err = command("-m", *QUICK, seeds)
        assert code == outcomes.REFUSED
        assert f"write seeds={instead} for these seeds" in err
        assert list(tmp_path.iterdir()) == []
    code, out, _ = command("-m", *QUICK, "seeds=[0],[1]")
    assert "2 of 2 cells done" in out
    assert set(load_records(tmp_path)["seed"]) == {0, 1}
    _, _, err = command("seeds=0")
    assert "write seeds=[0] for seed 0, seeds=3 for three seeds" in err


PAIRS = ["zip=[space,optimizer.lr]", "space=weight,gspace", "optimizer=sgd,adam", "optimizer.lr=0.1,0.01"]
PAIRED = [
    ["space=weight", "optimizer.lr=0.1", "optimizer=sgd"],
    ["space=weight", "optimizer.lr=0.1", "optimizer=adam"],
    ["space=gspace", "optimizer.lr=0.01", "optimizer=sgd"],
    ["space=gspace", "optimizer.lr=0.01", "optimizer=adam"],
]


def test_zip_pairs_values_and_the_other_keys_make_every_combination():
    assert expand(PAIRS) == PAIRED
    assert expand(reversed(PAIRS))[1] == ["optimizer.lr=0.1", "space=weight", "optimizer=adam"]
    assert len(expand([*PAIRS, "optimizer=sgd", "zip=[space,optimizer.lr]"])) == 2
    assert len(expand([*PAIRS, "zip=null"])) == 8
    again = [*PAIRS[:2], PAIRS[3], "++optimizer.lr=1,2"]  # of two values of a key the later counts
    assert expand(again) == [["space=weight", "++optimizer.lr=1"], ["space=gspace", "++optimizer.lr=2"]]
    assert expand(["zip=['a.b',c]", "++a.b=1,2", "c=[1],[2]"]) == [["++a.b=1", "c=[1]"], ["++a.b=2", "c=[2]"]]


def test_pairs_are_the_runs_that_commands_without_zip_make(command, tmp_path):
    """Pairing is no part of a run; a paired sweep goes on where it was stopped, and is found done."""
    assert command(*QUICK, *PAIRED[2])[0] == outcomes.DONE
    words = ["-m", *QUICK, "batch_size=64,128", *PAIRS[:2], PAIRS[3], "hydra.sweeper.max_batch_size=3"]
    code, out, _ = command(*words)
    assert code == outcomes.DONE
    assert "[3/3] batch_size=128 space=weight optimizer.lr=0.1\n" in out
    assert "[4/4] batch_size=128 space=gspace optimizer.lr=0.01\n" in out
    assert (out.count("done before"), "4 of 4 cells done" in out) == (1, True)
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["runs"]
    records = load_records(tmp_path, keys=["choices.space"])
    assert records["run"].nunique() == 4
    assert set(zip(records["choices.space"], records["lr"], strict=True)) == {("weight", 0.1), ("gspace", 0.01)}
    assert not any("zip" in path.read_text() for path in tmp_path.rglob("*") if path.suffix in (".yaml", ".txt"))
    assert command(*words)[1].count("done before") == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["zip=[space,optimizer.lr]", "space=weight,gspace", "optimizer.lr=0.1,0.2,0.3"], "space 2, optimizer.lr 3"),
        (["zip=[space,optimizer.rl]", "space=weight,gspace", "optimizer.lr=0.1,0.2"], "did you mean optimizer.lr?"),
        (["zip=[space,epochs]", "epochs=1", "space=weight,gspace"], "zip names epochs, which has one value"),
        (["zip=[space,optimizer.lr]", "space=weight,gspace", "optimizer.lr=[0.1,0.2]"], "which has one value"),
        (["zip=[space]", "space=weight,gspace"], "no list of two or more keys"),
        (["zip=[space,space]", "space=weight,gspace"], "no list of two or more keys"),
        (["zip=space,epochs", "space=weight,gspace"], "zip=space,epochs is no list of two or more keys"),
    ],
)
def test_what_cannot_be_paired(words, message):
    with pytest.raises(ConfigError) as refused:
        expand(words)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["zip=[space,optimizer.lr]", "space=weight,gspace", "optimizer.lr=0.1"], "which has one value"),
        (["zip=[space,optimizer.lr]", "space=weight,gspcae", "optimizer.lr=0.1,0.2"], "did you mean gspace?"),
        (["zip=[space,optimizer]", "space=glob(q*)", "optimizer=sgd,adam"], "space=glob(q*) fits nothing"),
        ([*PAIRS, "hydra.sweeper.max_batch_size=-1"], "max_batch_size is -1"),
    ],
)
def test_a_refused_pairing_starts_nothing(command, tmp_path, words, message):
    code, out, err = command("-m", *QUICK, *words)
    assert (code, out) == (outcomes.REFUSED, "")
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_zip_without_a_sweep_is_refused(command, tmp_path):
    for words in (["zip=[space,optimizer.lr]"], ["zip=[space,optimizer.lr]", "space=weight,gspace"]):
        code, _, err = command(*QUICK, *words)
        assert code == outcomes.REFUSED
        assert "add -m" in err
        assert list(tmp_path.iterdir()) == []


def test_the_file_of_an_experiment_may_pair_values(command, tmp_path, fails_in):
    """Its parameters are a sweep's; a cell that failed is run again by a command without the pairing."""
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    lines = ["# @package _global_", "network: {hidden: [8]}", "hydra: {mode: MULTIRUN, sweeper: {params: {"]
    lines += ["zip: '[space,optimizer.lr]', space: 'weight,gspace', optimizer.lr: '0.1,0.01'}}}"]
    (tmp_path / "own" / "experiment" / "pairs.yaml").write_text("\n".join(lines))
    fails_in("gspace")
    code, out, err = command("--config-dir=own", *QUICK, "experiment=pairs")
    assert code == outcomes.FAILED
    assert "[1/2] space=weight optimizer.lr=0.1\n" in out
    assert "1 of 2 cells done" in out
    (again,) = [
        shlex.split(line.partition("run again: scaleinv-run ")[2]) for line in err.splitlines() if "again: " in line
    ]
    assert {"space=gspace", "optimizer.lr=0.01"} < set(again)
    assert "ZeroDivisionError" in command(*again)[2]


@pytest.mark.slow
def test_pairs_under_joblib(command):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    joblib = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    code, out, _ = command("-m", *QUICK, *joblib, *PAIRS[:2], PAIRS[3])
    assert code == outcomes.DONE
    assert "2 of 2 cells done" in out
