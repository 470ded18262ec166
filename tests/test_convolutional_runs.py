"""Promise: runs of convolutional networks with batch norm are cut, interrupted, killed and kept like any other."""

import os
import signal
import time

import pytest
import torch
from safetensors.torch import load_file
from test_runner import assert_same_numbers, configured, start

from scaleinv.losses import CrossEntropy
from scaleinv.runs.build import build_cell
from scaleinv.runs.folder import WEIGHTS, RunFolder
from scaleinv.runs.records import load_records
from scaleinv.runs.run import run
from scaleinv.runs.tasks import sweep
from scaleinv.runs.weights import load_model
from scaleinv.training.stack import Stack

NETWORK = ["network=cnn", "network.channels=[3]", "network.hidden=[5]", "network.norm=true", "batch_size=256"]
GRID = [*NETWORK, "space=cycle", "optimizer=adam", "optimizer.lr=[0.01,0.05]", "seeds=2", "epochs=3", "keep=last"]
GRID += ["checkpoint_seconds=0", "augment=crop_flip", "augment.padding=1"]


def finished(folder):
    """Return the records of a run as bytes, and its weights and statistics."""
    return folder.joinpath("metrics.csv").read_bytes(), load_file(RunFolder(folder).whole(WEIGHTS))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    config = configured(tmp_path_factory.mktemp("uninterrupted"), *GRID, "chunk=2")
    run(config)
    return config


def assert_finished_alike(config, other):
    (metrics, tensors), (metrics_other, tensors_other) = (finished(one.folder) for one in (config, other))
    assert metrics == metrics_other
    assert set(tensors) == set(tensors_other)
    assert all(torch.equal(tensors[name], tensors_other[name]) for name in tensors)


def test_chunks_do_not_matter(tmp_path, uninterrupted):
    config = configured(tmp_path, *GRID, "chunk=1")
    run(config)
    assert_same_numbers(load_records(config.folder), load_records(uninterrupted.folder))


def test_statistics_are_resumed(tmp_path, uninterrupted, monkeypatch):
    calls, train_epoch = [], Stack.train_epoch

    def stops(self, epoch, after_step=None):
        calls.append(epoch)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return train_epoch(self, epoch, after_step)

    config = configured(tmp_path, *GRID, "chunk=2")
    with monkeypatch.context() as patch:
        patch.setattr(Stack, "train_epoch", stops)
        with pytest.raises(KeyboardInterrupt):
            run(config)
    run(config)
    assert_finished_alike(config, uninterrupted)


def test_killed_in_its_second_stack_it_ends_with_the_same_bytes(tmp_path, uninterrupted):
    overrides = [*GRID, "chunk=2"]
    config = configured(tmp_path, *overrides)
    rows = uninterrupted.folder.joinpath("metrics.csv").read_bytes().count(b"\n")
    process = start(tmp_path, overrides)
    metrics, deadline = config.folder / "metrics.csv", time.monotonic() + 60
    while process.is_alive() and time.monotonic() < deadline:
        if metrics.exists() and metrics.read_bytes().count(b"\n") > rows // 2 + 1:
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.001)
    process.join()
    run(config)
    assert_finished_alike(config, uninterrupted)


def test_a_kept_model_scores_as_its_record_does(uninterrupted):
    """With its running statistics, in evaluation mode, on images without augmentation."""
    data = build_cell(uninterrupted).dataset
    records = load_records(uninterrupted.folder)
    last = records[records["epoch"] == 3].set_index(["lr", "seed"])
    images, loss = data.normalise(data.val.images).unflatten(1, data.shape), CrossEntropy()
    for lr, seed in last.index:
        outputs = load_model(uninterrupted.folder, {"lr": lr, "seed": seed})(images).detach()
        score = loss.score(outputs.mT[None], data.val.labels[None]).loss.mean().item()
        assert score == pytest.approx(last.loc[(lr, seed), "val_loss"], rel=1e-9)


def test_members_of_a_stack_share_the_memory_of_activations(tmp_path, monkeypatch):
    """They are computed one after the other, so more of them fit than of a chain with as many activations."""
    cell = build_cell(configured(tmp_path, "network=cnn", "network.channels=[8]", "network.hidden=[]"))
    monkeypatch.setattr(sweep, "free_bytes", lambda device: 60 * 2**20)
    activations = 4 * cell.network.activations * cell.batch_size * 8
    weights = 3 * cell.network.graph.parameters * 8
    monkeypatch.setattr(sweep, "cache_bytes", lambda: 2**40)
    assert sweep.pick_chunk(cell)[0] == (int(0.6 * 60 * 2**20) - activations) // weights
