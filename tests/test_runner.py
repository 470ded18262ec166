"""Promise: a member's result depends on its own configuration alone, and no moment of death loses or doubles a row."""

import json
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from scaleinv.reference import train_serial
from scaleinv.runs.build import build_cell
from scaleinv.runs.config import compose
from scaleinv.runs.errors import RunFailedError
from scaleinv.runs.folder import BusyError, DamagedError, RunFolder
from scaleinv.runs.records import load_records
from scaleinv.runs.run import run
from scaleinv.runs.tasks import sweep
from scaleinv.training.cell import next_stack
from scaleinv.training.stack import Stack
from scaleinv.wrappers import SpaceOptimizer

BASE = ["progress=false", "threads=1", "network.hidden=[12,12]", "dtype=float64"]
NUMBERS = ["train_loss", "train_accuracy", "val_loss", "val_accuracy"]


def configured(tmp_path, *overrides):
    return compose([*BASE, f"results={tmp_path}", *overrides])


def trained(tmp_path, *overrides):
    config = configured(tmp_path, *overrides)
    run(config)
    return load_records(config.folder)


def assert_same_numbers(one: pd.DataFrame, other: pd.DataFrame, rtol=1e-9):
    keys = [*one.columns[one.columns.get_loc("lr") : one.columns.get_loc("epoch") + 1]]
    merged = one.merge(other, on=keys, suffixes=("", "_other"), validate="one_to_one")
    assert len(merged) == len(one)
    for name in NUMBERS:
        np.testing.assert_allclose(merged[name], merged[f"{name}_other"], rtol=rtol, err_msg=name)


AXES = ["optimizer.lr=[0.05,0.002]", "space.value=[0.5,1.0]", "optimizer.momentum=[0.0,0.5]", "start.sigma=[0.0,0.1]"]
GRID = ["space=gspace", "start=rescaled", "epochs=2", "seeds=3", *AXES]
SHUFFLED = ["optimizer.lr=[0.002,0.05]", "space.value=[1.0,0.5]", "optimizer.momentum=[0.5,0.0]", "seeds=[2,0,1]"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("whole"), *GRID, "chunk=48")


@pytest.mark.parametrize("chunk", [5, 16, 19, 33])
def test_chunks_do_not_matter(tmp_path, whole, chunk):
    cut = trained(tmp_path, *GRID, f"chunk={chunk}")
    assert_same_numbers(cut, whole)
    assert list(cut["lr"]) == list(whole["lr"])
    assert list(cut["optimizer.momentum"]) == list(whole["optimizer.momentum"])


def test_the_order_of_the_members_does_not_matter(tmp_path, whole):
    assert_same_numbers(trained(tmp_path, *GRID[:3], *SHUFFLED, "start.sigma=[0.1,0.0]"), whole)


def test_a_member_alone_gets_the_same_result(tmp_path, whole):
    single = ["optimizer.lr=0.002", "space.value=0.5", "optimizer.momentum=0.5", "start.sigma=0.1", "seeds=[1]"]
    alone = trained(tmp_path, *GRID[:3], *single)
    axes = {"lr": 0.002, "value": 0.5, "optimizer.momentum": 0.5, "start.sigma": 0.1, "seed": 1}
    same = whole[(whole[[*axes]] == pd.Series(axes)).all(axis=1)]
    assert_same_numbers(alone, same)


def test_a_further_axis_has_a_column_under_its_key_and_the_manifest_lists_all(tmp_path):
    config = configured(tmp_path, "optimizer.weight_decay=[0.1,0.0]", "optimizer.lr=[0.02,0.01]", "epochs=0")
    run(config)
    records = load_records(config.folder)
    head = config.folder.joinpath("metrics.csv").read_text().splitlines()[0]
    assert head.startswith("dataset,network,space,optimizer,lr,seed,value,optimizer.weight_decay,epoch,train_loss,")
    assert records["optimizer.weight_decay"].tolist() == [0.0, 0.0, 0.1, 0.1]
    assert records["lr"].tolist() == [0.01, 0.02, 0.01, 0.02]
    axes = RunFolder(config.folder).manifest["axes"]
    assert list(axes) == ["seeds", "space.value", "optimizer.weight_decay", "optimizer.lr"]
    assert list(axes.values()) == ["seed", "value", "optimizer.weight_decay", "lr"]
    plain = configured(tmp_path, "optimizer.weight_decay=[0.1]", "epochs=0")
    run(plain)
    assert "optimizer.weight_decay" not in plain.folder.joinpath("metrics.csv").read_text()


def test_stacks_divide_evenly_over_their_seeds(tmp_path):
    config = configured(tmp_path, "space=fixed", "seeds=4", "optimizer.lr=[0.1,0.2,0.3]", "space.value=[1,2,3,4]")
    cell = build_cell(config)
    for chunk in range(1, 60):
        done, sizes = 0, []
        while done < 48:
            members = next_stack(cell, done, chunk)
            assert [m.index for m in members] == list(range(done, done + len(members)))
            seeds = [m.seed for m in members]
            assert len(members) <= chunk
            assert len(members) % len(set(seeds)) == 0
            assert len({seeds.count(seed) for seed in seeds}) == 1
            done += len(members)
            sizes.append(len(members))
        assert done == 48


SERIAL = [
    pytest.param("weight", ["optimizer=sgd"], torch.optim.SGD, {}, id="weight-sgd"),
    pytest.param("weight", ["optimizer=adam"], torch.optim.Adam, {}, id="weight-adam"),
    pytest.param("gspace", ["optimizer=sgd"], torch.optim.SGD, {}, id="gspace-sgd"),
    pytest.param("fixed", ["optimizer=adam"], torch.optim.Adam, {}, id="fixed-adam"),
    pytest.param("cycle", ["optimizer=rmsprop"], torch.optim.RMSprop, {}, id="cycle-rmsprop"),
]


@pytest.mark.parametrize(("space", "options", "theirs", "kwargs"), SERIAL)
@pytest.mark.parametrize("bias", ["true", "false"])
def test_stacked_training_is_serial_training(tmp_path, space, options, theirs, kwargs, bias):
    """One member at a time, a plain module, torch.optim: the same numbers, epoch by epoch."""
    overrides = [f"space={space}", *options, "optimizer.lr=[0.01,0.003]", "seeds=2", "epochs=3", f"network.bias={bias}"]
    config = configured(tmp_path, *overrides)
    run(config)
    records = load_records(config.folder)
    cell = build_cell(config)
    for seed in (0, 1):
        for lr in (0.01, 0.003):
            rows = train_serial(
                cell.network,
                cell.dataset,
                seed,
                lambda model, lr=lr: SpaceOptimizer(model, cell.space, theirs, lr=lr, **kwargs),
                epochs=3,
            )
            ours = records[(records.seed == seed) & (records.lr == lr) & (records.epoch > 0)]
            for name in NUMBERS:
                np.testing.assert_allclose(ours[name], [row[name] for row in rows], rtol=1e-8, err_msg=name)


def test_a_diverging_member_ends_nobody_else(tmp_path):
    with_bad = trained(tmp_path / "a", "optimizer.lr=[0.1,1e200,0.01]", "epochs=3")
    without = trained(tmp_path / "b", "optimizer.lr=[0.1,0.01]", "epochs=3")
    bad = with_bad[with_bad.lr == 1e200]
    assert list(bad.status) == ["ok", "diverged", "diverged", "diverged"]
    assert set(bad.diverged_step[1:]) == {bad.diverged_step.iloc[1]}
    assert 1 <= bad.diverged_step.iloc[1] <= 3
    assert not np.isfinite(bad.val_loss[1:]).any()
    good = with_bad[with_bad.lr != 1e200]
    assert (good.status == "ok").all()
    assert good.diverged_step.isna().all()
    assert_same_numbers(good, without)


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_how_many_steps_are_gathered_and_scored_at_once_does_not_matter(tmp_path, monkeypatch, steps):
    """23 steps an epoch, the last of them on fewer images; the second member diverges some steps into an epoch."""
    grid = ["optimizer.lr=[0.1,3,0.01]", "seeds=2", "epochs=2", "network.negative_slope=0.5"]
    at_once = trained(tmp_path / "a", *grid)
    monkeypatch.setattr(Stack, "_steps_per_slab", lambda self: steps)
    in_parts = trained(tmp_path / "b", *grid)
    assert_same_numbers(in_parts, at_once)
    assert in_parts.diverged_step.equals(at_once.diverged_step)
    assert (at_once.diverged_step.dropna() > 5).all()
    assert at_once.diverged_step.notna().any()


def test_divergence_at_the_very_last_step_is_noticed(tmp_path):
    """One step an epoch: the loss before it is fine, the weights after it are not."""
    records = trained(tmp_path, "batch_size=2000", "optimizer.lr=1e308", "epochs=1")
    assert list(records.status) == ["ok", "diverged"]
    assert records.diverged_step.iloc[1] == 2


def test_holdout_reports_the_test_set_beside_the_validation_set(tmp_path):
    records = trained(tmp_path, "dataset.split=holdout", "dataset.holdout=100", "epochs=1")
    assert records.test_loss.notna().all()
    assert (records.test_loss != records.val_loss).all()
    assert trained(tmp_path, "epochs=1").test_loss.isna().all()


def test_no_epochs_evaluate_the_initial_networks(tmp_path):
    records = trained(tmp_path, "epochs=0", "seeds=2")
    assert list(records.epoch) == [0, 0]
    assert records.train_loss.isna().all()
    assert records.val_loss.between(2, 3).all()


def test_forgetting_is_another_run(tmp_path):
    kept = trained(tmp_path, "optimizer=adam", "epochs=1")
    forgotten = trained(tmp_path, "optimizer=adam", "optimizer.memory=false", "epochs=1")
    assert kept.val_loss.iloc[1] != forgotten.val_loss.iloc[1]
    both = load_records(tmp_path, keys=["optimizer.memory"])
    assert set(both["optimizer.memory"]) == {True, False}


def test_done_is_skipped_and_rerun_trains_again(tmp_path):
    config = configured(tmp_path, "epochs=1")
    run(config)
    before = config.folder.joinpath("metrics.csv").read_bytes()
    stamp = config.folder.joinpath("metrics.csv").stat().st_mtime_ns
    assert "done before" in run(config)
    assert config.folder.joinpath("metrics.csv").stat().st_mtime_ns == stamp
    run(configured(tmp_path, "epochs=1", "rerun=true"))
    assert config.folder.joinpath("metrics.csv").stat().st_mtime_ns != stamp
    assert config.folder.joinpath("metrics.csv").read_bytes() == before


def test_a_failure_leaves_its_traceback_and_can_be_tried_again(tmp_path, monkeypatch):
    config = configured(tmp_path, "epochs=1")
    with monkeypatch.context() as patch:
        patch.setattr(Stack, "train_epoch", lambda *args, **kwargs: 1 / 0)
        with pytest.raises(RunFailedError, match="ZeroDivisionError"):
            run(config)
    assert "ZeroDivisionError" in (config.folder / "error.txt").read_text()
    assert RunFolder(config.folder).manifest["status"] == "failed"
    assert load_records(tmp_path).empty
    run(config)
    assert not (config.folder / "error.txt").exists()
    assert len(load_records(tmp_path)) == 2


def test_when_memory_runs_out_the_chunk_is_halved(tmp_path, monkeypatch, whole):
    train_epoch = Stack.train_epoch

    def greedy(self, epoch, after_step=None):
        if len(self.members) > 5 and epoch == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return train_epoch(self, epoch, after_step)

    monkeypatch.setattr(Stack, "train_epoch", greedy)
    config = configured(tmp_path, *GRID, "chunk=18")
    run(config)
    assert_same_numbers(load_records(config.folder), whole)
    assert RunFolder(config.folder).manifest["chunk"] == 4


LONG = ["seeds=2", "optimizer=adam", "optimizer.beta1=[0.9,0.5]", "chunk=2", "epochs=30", "checkpoint_seconds=0"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    config = configured(tmp_path_factory.mktemp("uninterrupted"), *LONG)
    began = time.monotonic()
    run(config)
    return config.folder.joinpath("metrics.csv").read_bytes(), time.monotonic() - began


def in_another_process(tmp_path, overrides):
    torch.set_num_threads(1)
    run(configured(tmp_path, *overrides))


def start(tmp_path, overrides):
    context = multiprocessing.get_context("forkserver")
    needed = ["scaleinv.runs.run", "scaleinv.runs.tasks.sweep", "conftest", "test_runner"]
    context.set_forkserver_preload(needed)
    process = context.Process(target=in_another_process, args=(tmp_path, overrides))
    process.start()
    return process


def test_killed_ten_times_it_ends_with_the_same_bytes(tmp_path, uninterrupted):
    wanted, seconds = uninterrupted
    config = configured(tmp_path, *LONG)
    metrics = config.folder / "metrics.csv"
    chance = random.Random(0)
    kills, lengths = 0, [0]
    while kills < 10:
        process = start(tmp_path, LONG)
        # Wait until this process holds the run, let it write up to a tenth of the records, then a part of an epoch.
        written = lengths[-1] + chance.uniform(0, 0.1) * len(wanted)
        deadline = time.monotonic() + 60
        while process.is_alive() and time.monotonic() < deadline:
            if _owned_by(config.folder, process.pid) and size(metrics) >= written:
                break
            time.sleep(0.002)
        process.join(chance.uniform(0, seconds / 60))
        if not process.is_alive():
            break
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        kills += 1
        lengths.append(size(metrics))
    assert kills == 10
    assert lengths[-1] > 0
    process = start(tmp_path, LONG)
    process.join(120)
    assert process.exitcode == 0
    assert config.folder.joinpath("metrics.csv").read_bytes() == wanted


def size(metrics: Path) -> int:
    return metrics.stat().st_size if metrics.exists() else 0


def _owned_by(folder: Path, pid: int) -> bool:
    try:
        return json.loads((folder / "lock.json").read_text())["pid"] == pid
    except (FileNotFoundError, ValueError):
        return False


@pytest.fixture
def interrupted(tmp_path, monkeypatch):
    """A run that stopped in its second stack, as if by Ctrl-C."""
    calls = []
    train_epoch = Stack.train_epoch

    def stops(self, epoch, after_step=None):
        calls.append(epoch)
        if len(calls) == 45:
            raise KeyboardInterrupt
        return train_epoch(self, epoch, after_step)

    config = configured(tmp_path, *LONG)
    with monkeypatch.context() as patch:
        patch.setattr(Stack, "train_epoch", stops)
        with pytest.raises(KeyboardInterrupt):
            run(config)
    assert RunFolder(config.folder).manifest["status"] == "interrupted"
    return config


def test_an_interrupted_run_goes_on_where_it_was(interrupted, uninterrupted, monkeypatch):
    epochs = []
    train_epoch = Stack.train_epoch
    monkeypatch.setattr(
        Stack, "train_epoch", lambda self, epoch, after_step=None: (epochs.append(epoch), train_epoch(self, epoch))[1]
    )
    run(interrupted)
    assert epochs == list(range(15, 31))
    assert interrupted.folder.joinpath("metrics.csv").read_bytes() == uninterrupted[0]
    assert not list(interrupted.folder.glob("checkpoint*"))


def test_rows_behind_the_checkpoint_are_cut_off(interrupted, uninterrupted):
    with interrupted.folder.joinpath("metrics.csv").open("ab") as file:
        file.write(b"half a li")
    run(interrupted)
    assert interrupted.folder.joinpath("metrics.csv").read_bytes() == uninterrupted[0]


def test_a_flipped_bit_in_a_checkpoint_is_found_and_the_one_before_is_used(interrupted, uninterrupted):
    path = interrupted.folder / "checkpoint.bin"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    run(interrupted)
    assert interrupted.folder.joinpath("metrics.csv").read_bytes() == uninterrupted[0]


def test_metrics_edited_by_hand_are_refused(interrupted):
    path = interrupted.folder / "metrics.csv"
    path.write_text(path.read_text().replace("mnist", "MNIST").replace("digits", "Digits"))
    with pytest.raises(DamagedError, match=r"metrics\.csv was changed"):
        run(interrupted)


def test_dying_while_the_records_are_sealed(interrupted, uninterrupted, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "update_manifest", _dies_when_done(RunFolder.update_manifest))
        with pytest.raises(KeyboardInterrupt):
            run(interrupted)
    run(interrupted)
    assert interrupted.folder.joinpath("metrics.csv").read_bytes() == uninterrupted[0]


def _dies_when_done(update):
    def dies(self, **entries):
        if entries.get("status") == "done":
            raise KeyboardInterrupt
        update(self, **entries)

    return dies


def test_a_run_that_another_process_has_is_left_alone(tmp_path):
    config = configured(tmp_path, "epochs=1")
    with RunFolder(config.folder).locked(), pytest.raises(BusyError, match=f"process {os.getpid()} on"):
        run(config)
    assert not (config.folder / "metrics.csv").exists()


def test_pick_chunk_says_why(tmp_path, monkeypatch):
    cell = build_cell(configured(tmp_path, "optimizer=adam"))
    size, reason = sweep.pick_chunk(cell)
    assert size >= 8
    assert "CPU cache" in reason
    monkeypatch.setattr(sweep, "free_bytes", lambda device: 10 * 2**20)
    fewer, reason = sweep.pick_chunk(cell)
    assert fewer < size
    assert "free memory" in reason
