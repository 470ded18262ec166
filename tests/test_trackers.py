"""Promise: a tracker gets every row once, whenever the run is killed, and changes nothing."""

import importlib.machinery
import json
import sys
import types
from dataclasses import dataclass
from typing import ClassVar

import pytest

from scaleinv.runs.config import compose
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.records import load_records
from scaleinv.runs.registry import names
from scaleinv.runs.run import run
from scaleinv.runs.tracking import Tracking
from scaleinv.trackers.base import TrackedMember, TrackedRun, Tracker
from scaleinv.training.stack import Stack

BASE = ["progress=false", "threads=1", "network.hidden=[6]", "checkpoint_seconds=0"]
# Two stacks of two members.
GRID = ["optimizer.lr=[0.1,0.01]", "seeds=2", "epochs=3", "chunk=2"]
MEMBERS = {f"lr={lr},seed={seed}" for lr in (0.1, 0.01) for seed in (0, 1)}
NUMBERS = {"train_loss", "train_accuracy", "val_loss", "val_accuracy"}


class Death(BaseException):
    """The process is gone: nobody is told."""


def configured(tmp_path, *overrides):
    return compose([*BASE, f"results={tmp_path / 'results'}", *overrides])


def metrics(config):
    return config.folder.joinpath("metrics.csv").read_bytes()


def recorded(config, name):
    """The numbers of one member by column, epoch by epoch; the first epoch has no training loss."""
    lr, seed = (float(word.partition("=")[2]) for word in name.split(","))
    rows = load_records(config.folder)
    rows = rows[(rows["lr"] == lr) & (rows["seed"] == seed)]
    return {column: rows[column].dropna().tolist() for column in NUMBERS}


@pytest.fixture(scope="module")
def untracked(tmp_path_factory):
    config = configured(tmp_path_factory.mktemp("untracked"), *GRID)
    run(config)
    return config


# Events of the recorder: what it was asked to do, and a function that may die or fail at each.
WRITTEN: list[tuple] = []


@dataclass(frozen=True)
class Recorder(Tracker):
    """A tracker of a user's own; like a real store, it can say what it has."""

    trouble: ClassVar = staticmethod(lambda event: None)

    def open(self, member):
        WRITTEN.append(("open", member.name, member.group, member.is_resumed))
        return RecorderRun(member)


@dataclass
class RecorderRun(TrackedRun):
    member: TrackedMember

    def write(self, step, numbers):
        event = ("write", self.member.name, self.member.group, step, numbers)
        if event in WRITTEN:
            return
        Recorder.trouble(event)
        WRITTEN.append(event)

    def close(self, ending):
        WRITTEN.append((ending, self.member.name, self.member.group))


@pytest.fixture
def own(tmp_path, monkeypatch):
    WRITTEN.clear()
    monkeypatch.setattr(Recorder, "trouble", staticmethod(lambda event: None))
    return configured(tmp_path, *GRID, "tracker.name=test_trackers:Recorder")


def writes():
    return [event for event in WRITTEN if event[0] == "write"]


def test_a_tracker_of_ones_own_gets_every_row_in_order_and_changes_nothing(own, untracked):
    assert own.run_id == untracked.run_id
    run(own)
    assert metrics(own) == metrics(untracked)
    assert len({event[2] for event in WRITTEN}) == 1
    for name in MEMBERS:
        steps = [event for event in writes() if event[1] == name]
        assert [step for _, _, _, step, _ in steps] == [0, 1, 2, 3]
        columns = {c: [numbers[c] for *_, numbers in steps if c in numbers] for c in NUMBERS}
        assert columns == recorded(untracked, name)
        assert [event[0] for event in WRITTEN if event[1] == name].count("finished") == 1
    group = WRITTEN[0][2]
    run(own)  # done: there is nothing to send
    assert len(writes()) == 16
    run(compose([*BASE, *own.arguments, "rerun=true"]))
    assert len(writes()) == 32
    assert group not in {event[2] for event in writes()[16:]}


def test_a_tracker_that_fails_is_one_note_and_gets_the_rest_later(own, untracked, monkeypatch, capsys):
    def fails(event):
        if len(writes()) == 5:
            raise ConnectionError("no network\nat all")

    monkeypatch.setattr(Recorder, "trouble", staticmethod(fails))
    run(own)
    assert metrics(own) == metrics(untracked)
    told = capsys.readouterr().err
    assert told.count("note:") == 1
    assert "the tracker stopped, training goes on: ConnectionError: no network (" in told
    assert len(writes()) == 5
    monkeypatch.setattr(Recorder, "trouble", staticmethod(lambda event: None))
    assert run(own).startswith("done before")
    assert sorted(event[1:4:2] for event in writes()) == sorted((n, e) for n in MEMBERS for e in range(4))
    assert metrics(own) == metrics(untracked)


def die_in_turn(config, monkeypatch, deaths):
    """Start the run again and again; each time, it dies as the next of ``deaths`` says, and nobody closes anything."""
    monkeypatch.setattr(Tracking, "_close", lambda self, ending: None)
    for death in deaths:
        with monkeypatch.context() as patch:
            death(patch)
            with pytest.raises(Death):
                run(config)
    run(config)


def in_training(epoch):
    def death(patch):
        train = Stack.train_epoch

        def dies(self, number, after_step=None):
            if number == epoch:
                raise Death
            return train(self, number, after_step)

        patch.setattr(Stack, "train_epoch", dies)

    return death


def before_it_is_noted(patch):
    def dies(self):
        raise Death

    patch.setattr(Tracking, "_write", dies)


def before_it_is_sent(patch):
    def dies(self):
        if self._folder.is_begun:
            raise Death

    patch.setattr(Tracking, "_send", dies)


DEATHS = [in_training(2), before_it_is_noted, before_it_is_sent, before_it_is_noted, in_training(3), in_training(2)]


def test_killed_anywhere_nothing_is_lost_or_doubled(own, untracked, monkeypatch):
    die_in_turn(own, monkeypatch, DEATHS)
    assert sorted(event[1:4:2] for event in writes()) == sorted((n, e) for n in MEMBERS for e in range(4))
    assert metrics(own) == metrics(untracked)
    opened = [event[3] for event in WRITTEN if event[0] == "open"]
    assert not opened[0]
    assert opened[-1]


def test_another_tracker_begins_at_the_first_row(own, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        in_training(2)(patch)
        with pytest.raises(Death):
            run(configured(tmp_path, *GRID))
    assert not writes()
    run(own)
    assert len(writes()) == 16


def test_a_task_without_epochs_says_so(tmp_path, monkeypatch, capsys):
    config = configured(tmp_path, "task=surface", "tracker.name=test_trackers:Recorder")
    monkeypatch.setattr(type(config.task), "run", lambda self, config, folder: "")
    run(config)
    assert "task=surface has no epochs, so its tracker gets nothing" in capsys.readouterr().err


REAL = [name for name in names("scaleinv.trackers") if name != "none"]


@pytest.mark.parametrize("name", REAL)
def test_an_absent_package_is_said_before_anything_starts(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    config = configured(tmp_path, f"tracker={name}")
    with pytest.raises(ConfigError, match=f"needs the package {name}") as refused:
        run(config)
    assert refused.value.how.startswith("pip install ")
    assert not list(tmp_path.iterdir())


def test_tensorboard_shows_every_row_once(tmp_path, monkeypatch, untracked):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = configured(tmp_path, *GRID, "tracker=tensorboard")
    die_in_turn(config, monkeypatch, DEATHS)
    assert metrics(config) == metrics(untracked)
    (group,) = (tmp_path / "results" / "tensorboard").iterdir()
    assert {folder.name for folder in group.iterdir()} == MEMBERS
    for folder in group.iterdir():
        shown = EventAccumulator(str(folder)).Reload()
        assert set(shown.Tags()["scalars"]) == NUMBERS
        wanted = recorded(untracked, folder.name)
        for column in NUMBERS:
            events = shown.Scalars(column)
            assert [event.step for event in events] == [e for e in range(4) if e or not column.startswith("train")]
            assert [event.value for event in events] == pytest.approx(wanted[column], rel=1e-6)
        (text,) = (shown.Tensors("config/text_summary")[0].tensor_proto.string_val,)
        assert b"optimizer.momentum: 0.0" in text[0]


@pytest.mark.slow
def test_mlflow_holds_every_row_once(tmp_path, monkeypatch, untracked):
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

    def in_the_middle_of_an_epoch(patch):
        log = MlflowClient.log_batch

        def dies(self, run_id, metrics: "list[Metric]" = (), **others):
            if metrics and metrics[0].step == 2:
                log(self, run_id, metrics=metrics[:1])
                raise Death
            log(self, run_id, metrics=metrics, **others)

        patch.setattr(MlflowClient, "log_batch", dies)

    config = configured(tmp_path, *GRID, "tracker=mlflow")
    die_in_turn(config, monkeypatch, [in_training(2), before_it_is_noted, in_the_middle_of_an_epoch])
    assert metrics(config) == metrics(untracked)
    client = MlflowClient(tracking_uri=(tmp_path / "results" / "mlflow").as_uri())
    (experiment,) = [one for one in client.search_experiments() if one.name == "scaleinv"]
    runs = client.search_runs([experiment.experiment_id])
    assert {one.info.run_name for one in runs} == MEMBERS
    assert len({one.data.tags["group"] for one in runs}) == 1
    for one in runs:
        assert one.info.status == "FINISHED"
        assert one.data.params["optimizer.lr"] == one.info.run_name.split(",")[0].removeprefix("lr=")
        assert one.data.params["optimizer.momentum"] == "0.0"
        wanted = recorded(untracked, one.info.run_name)
        for column in NUMBERS:
            history = client.get_metric_history(one.info.run_id, column)
            assert [m.step for m in history] == [e for e in range(4) if e or not column.startswith("train")]
            assert [m.value for m in history] == wanted[column]


@pytest.mark.slow
def test_wandb_offline_writes_a_run_per_member(tmp_path, monkeypatch, untracked):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="wandb has no key"):
        run(configured(tmp_path, *GRID, "tracker=wandb"))
    monkeypatch.setenv("WANDB_API_KEY", "no key")
    with pytest.raises(ConfigError, match="wandb refuses"):
        run(configured(tmp_path, *GRID, "tracker=wandb"))
    small = ["optimizer.lr=[0.1,0.01]", "epochs=1"]
    plain = configured(tmp_path / "plain", *small)
    run(plain)
    config = configured(tmp_path, *small, "tracker=wandb", "tracker.mode=offline", "tracker.project=mine")
    run(config)
    wandb.teardown()
    assert metrics(config) == metrics(plain)
    found = {}
    for file in sorted((tmp_path / "results" / "wandb").glob("offline-run-*/run-*.wandb")):
        records = list(read_wandb(file))
        (begun,) = [record.run for record in records if record.WhichOneof("record_type") == "run"]
        assert begun.project == "mine"
        assert begun.run_group.startswith(config.run_id)
        assert "digits" in begun.tags
        assert "optimizer.momentum" in {item.key for item in begun.config.update}
        logged = [record.history.item for record in records if record.WhichOneof("record_type") == "history"]
        rows = [{item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in one} for one in logged]
        found[begun.display_name] = [{key: row[key] for key in row if key in {"_step", *NUMBERS}} for row in rows]
        (ended,) = [record.exit for record in records if record.WhichOneof("record_type") == "exit"]
        assert ended.exit_code == 0
    assert set(found) == {"lr=0.1,seed=0", "lr=0.01,seed=0"}
    for name, rows in found.items():
        assert [row["_step"] for row in rows] == [0, 1]
        assert {column: [row[column] for row in rows if column in row] for column in NUMBERS} == recorded(config, name)


def read_wandb(file):
    """Yield the records of wandb's own file: blocks of 32 KiB of pieces, each with checksum, length and kind."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, at, data = file.read_bytes(), 7, b""
    while at + 7 <= len(content):
        if (left := 2**15 - at % 2**15) < 7:
            at += left
            continue
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        data += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            yield Record.FromString(data)
            data = b""


def test_trackio_gets_a_run_per_member(tmp_path, monkeypatch, untracked):
    """By its interface: init gives a run with log and finish."""
    runs = {}

    class Run:
        def __init__(self, **options):
            self.options, self.steps, self.finished = options, [], 0

        def log(self, metrics, step=None):
            self.steps.append((step, metrics["val_loss"]))

        def finish(self):
            self.finished += 1

    def init(project, name=None, group=None, space_id=None, config=None, resume="never", embed=True):
        assert resume == "allow"
        return runs.setdefault(name, Run(project=project, group=group, config=config))

    module = types.ModuleType("trackio")
    module.init = init
    module.__spec__ = importlib.machinery.ModuleSpec("trackio", None)
    monkeypatch.setitem(sys.modules, "trackio", module)
    run(configured(tmp_path, *GRID, "tracker=trackio", "tracker.project=mine"))
    assert len(runs) == 4
    assert {name.split(" ")[1] for name in runs} == MEMBERS
    for name, one in runs.items():
        assert one.finished == 1
        assert one.options["project"] == "mine"
        assert name.startswith(one.options["group"])
        assert one.options["config"]["network.hidden"] == [6]
        assert [step for step, _ in one.steps] == [0, 1, 2, 3]
        assert [loss for _, loss in one.steps] == recorded(untracked, name.split(" ")[1])["val_loss"]
