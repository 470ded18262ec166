"""Promise: of several devices each run takes a free one, waits if there is none, and a dead process keeps none."""

import multiprocessing
import os
import signal
import tempfile
from types import SimpleNamespace

import pytest
import torch

from scaleinv.runs import devices
from scaleinv.runs.config import compose
from scaleinv.runs.devices import device_taken
from scaleinv.runs.environment import list_devices
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.folder import RunFolder
from scaleinv.runs.run import run

SMALL = ["progress=false", "threads=1", "network.hidden=[4]", "epochs=0"]


@pytest.fixture(autouse=True)
def pool(tmp_path, monkeypatch):
    """A pool of this test's own."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)


def hold(config, folder, pipe):
    """In another process: take a device, say which, and keep it until there is word or death; notes are said too."""
    tempfile.tempdir = folder
    devices.note = pipe.send
    with device_taken(config) as config:
        pipe.send(config.device)
        pipe.recv()


def holder(config):
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["scaleinv.runs.run", "conftest", "test_devices"])
    process = context.Process(target=hold, args=(config, tempfile.gettempdir(), there), daemon=True)
    process.start()
    return process, here


def test_two_processes_at_once_take_two_devices_and_a_third_waits():
    config = compose(["device=[cpu:0,cpu:1]"])
    one, two, three = (holder(config) for _ in range(3))
    assert all(pipe.poll(60) for _, pipe in (one, two, three))
    got = {pipe: pipe.recv() for _, pipe in (one, two, three)}
    note = "waiting: other runs have cpu:0, cpu:1"
    assert sorted(got.values()) == ["cpu:0", "cpu:1", note]
    waiting = next(pipe for pipe, said in got.items() if said == note)
    assert not waiting.poll(2 * devices.WAIT)  # it looks again, and does not say so again
    killed, its_pipe = next(pair for pair in (one, two, three) if pair[1] is not waiting)
    os.kill(killed.pid, signal.SIGKILL)
    assert waiting.poll(60)
    assert waiting.recv() == got[its_pipe]
    for process, pipe in (one, two, three):
        if process is not killed:
            pipe.send("enough")
        process.join(60)
    with device_taken(config) as mine:
        assert mine.device == "cpu:0"


def test_a_device_listed_twice_takes_two_runs_and_the_others_come_first():
    config = compose(["device=[cpu:0,cpu:0,cpu:1]"])
    with device_taken(config) as a, device_taken(config) as b, device_taken(config) as c:
        assert [one.device for one in (a, b, c)] == ["cpu:0", "cpu:1", "cpu:0"]


def test_a_run_takes_its_device_for_all_that_it_makes_and_is_the_same_run(tmp_path, monkeypatch):
    results = f"results={tmp_path / 'results'}"
    plain, pooled = compose([*SMALL, results]), compose([*SMALL, results, "device=[cpu:0,cpu:1]"])
    assert pooled.run_id == plain.run_id
    with device_taken(pooled):
        run(pooled)
    assert "device: cpu:1\n" in (pooled.folder / "config.yaml").read_text()
    assert RunFolder(pooled.folder).is_done
    assert run(plain).startswith("done before")


def test_a_device_alone_is_used_without_asking():
    with device_taken(compose(["device=cpu"])) as one, device_taken(compose(["device=[cpu]"])) as other:
        assert (one.device, other.device) == ("cpu", ("cpu",))


def test_cuda_is_every_gpu_of_several(monkeypatch):
    """With three GPUs that are not there; they are told apart by what the driver calls them."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid=f"u{device.index}"))
    every = [torch.device("cuda", index) for index in range(3)]
    assert list_devices("cuda") == list_devices("auto") == list_devices(["cuda"]) == every
    assert list_devices(["cuda:2", "cuda:0"]) == [every[2], every[0]]
    assert list_devices(["cuda", "cuda"]) == every * 2
    config = compose(["device=cuda"])
    with device_taken(config) as one, device_taken(config) as other:
        assert (one.device, other.device) == ("cuda:0", "cuda:1")
        assert other.resolved["device"] == "cuda:1"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert list_devices("cuda") == list_devices("auto") == [torch.device("cuda")]
    with pytest.raises(ConfigError, match="several kinds: cuda and cpu"):
        list_devices(["cuda:0", "cpu"])


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        ("[]", "an empty list"),
        ("[0,1]", "text or a list of texts"),
        ("[cpu,tpu]", "no device 'tpu'"),
        ("[cpu,cuda:99]", "CUDA"),
    ],
)
def test_devices_that_are_none_are_refused_before_anything_starts(tmp_path, listed, words):
    with pytest.raises(ConfigError, match=words) as refused:
        run(compose([*SMALL, f"results={tmp_path / 'results'}", f"device={listed}"]))
    assert refused.value.where == "device"
    assert not (tmp_path / "results").exists()
