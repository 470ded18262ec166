"""Promise: what the file system refuses is said in three lines, and the same command goes on once it is mended."""

import builtins
import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scaleinv.runs import outcomes
from scaleinv.runs.config import compose
from scaleinv.runs.errors import RunFailedError, UserError
from scaleinv.runs.folder import DamagedError, RunFolder
from scaleinv.runs.run import run

QUICK = ["progress=false", "threads=1", "network.hidden=[8]", "epochs=2", "checkpoint_seconds=0"]
BASE = [*QUICK, "optimizer=adam", "optimizer.lr=[0.1,0.01]", "chunk=1"]


SWEEP = ["-m", *QUICK, "space=weight,fixed"]


def refuse(monkeypatch, number, after):
    """Let the disk refuse its ``after + 1``-th write from now, and all later ones."""
    left = [after]

    def refusing(call, writes, named=True):
        def instead(*args, **kwargs):
            if writes(*args, **kwargs) and not str(args[0]).startswith("/dev"):
                left[0] -= 1
                if left[0] < 0:
                    raise OSError(number, os.strerror(number), *([str(args[0])] if named else []))
            return call(*args, **kwargs)

        return instead

    def in_python(path, mode="r", *args, **kwargs):
        return bool(set(mode) & set("wax+"))

    def below(path, flags, *args, **kwargs):
        return bool(flags & (os.O_CREAT | os.O_WRONLY))

    monkeypatch.setattr(builtins, "open", refusing(open, in_python))
    monkeypatch.setattr(Path, "open", refusing(Path.open, in_python))
    monkeypatch.setattr(os, "open", refusing(os.open, below))
    monkeypatch.setattr(os, "mkdir", refusing(os.mkdir, lambda *args, **kwargs: True))
    monkeypatch.setattr(os, "fsync", refusing(os.fsync, lambda handle: True, named=False))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    config = compose([*BASE, f"results={tmp_path_factory.mktemp('whole')}"])
    run(config)
    return config.folder


@pytest.fixture(scope="module")
def wanted(trained):
    return trained.joinpath("metrics.csv").read_bytes()


@pytest.mark.parametrize(
    ("number", "after"),
    [(errno.ENOSPC, after) for after in (0, 3, 8, 11, 13, 16, 19, 21, 23, 28, 32)]
    + [(errno.EROFS, 0), (errno.EROFS, 12), (errno.EACCES, 0), (errno.EACCES, 12)],
)
def test_a_disk_that_refuses_from_some_write_on(tmp_path, monkeypatch, wanted, number, after):
    config = compose([*BASE, f"results={tmp_path / 'results'}"])
    with monkeypatch.context() as patch:
        refuse(patch, number, after)
        with pytest.raises((UserError, RunFailedError)) as refused:
            run(config)
    what, where, mend = str(refused.value).splitlines()
    assert what == f"error: {os.strerror(number)}"
    assert str(tmp_path / "results") in where
    assert "make" in mend or "give yourself the right" in mend
    assert "done before" not in run(config)
    assert config.folder.joinpath("metrics.csv").read_bytes() == wanted
    assert not list(config.folder.glob("error.txt"))


@pytest.mark.parametrize("after", [1, 40])
def test_a_full_disk_in_a_sweep(command, tmp_path, monkeypatch, after):
    with monkeypatch.context() as patch:
        refuse(patch, errno.ENOSPC, after)
        code, _, err = command(*SWEEP)
    assert code in (outcomes.FAILED, outcomes.REFUSED)
    assert "No space left on device" in err
    assert "Traceback" not in err
    assert len(err.splitlines()) <= 2 * 5  # a cell: its name, three lines, and how to run it again
    code, _, err = command(*SWEEP)
    assert (code, err) == (outcomes.DONE, "")


def stand(tmp_path, what):
    path = tmp_path / "results"
    if what == "file":
        path.write_text("mine")
    elif what == "link":
        path.symlink_to("nowhere")
    elif what == "loop":
        path.symlink_to(path)


@pytest.mark.parametrize(
    ("what", "options", "words"),
    [
        ("file", ["-m"], "this is a file, not a folder"),
        ("file", [], "this is a file, not a folder\n  where: results\n  mend:  move away"),
        ("link", [], "this link leads nowhere\n  where: results\n  mend:  move away"),
        ("loop", [], "results"),
        ("none", [f"name={'a' * 300}"], "too long for the name of a folder: 300 characters\n  where: name"),
        ("none", [f"results={'a/' * 3000}"], "File name too long"),
        ("none", ["-m", f"results={'a/' * 3000}"], "File name too long"),
    ],
)
def test_what_cannot_be_a_folder(command, tmp_path, what, options, words):
    stand(tmp_path, what)
    code, _, err = command(*options, *QUICK, "space=gspace")
    assert code == outcomes.REFUSED
    assert words in err
    assert "Traceback" not in err
    assert len([line for line in err.splitlines() if len(line) < 200]) <= 5
    assert not (tmp_path / "results").is_dir()


@pytest.mark.parametrize("content", ["", "[1]", "{", "7", b"\xff", None])
def test_a_damaged_manifest_is_refused_and_rerun_mends_it(tmp_path, trained, content):
    config = compose([*BASE, f"results={tmp_path}"])
    shutil.copytree(trained, config.folder)
    path = config.folder / "manifest.json"
    metrics = path.with_name("metrics.csv").read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DamagedError, match="manifest"):
        run(config)
    assert path.with_name("metrics.csv").read_bytes() == metrics
    run(compose([*BASE, f"results={tmp_path}", "rerun=true"]))
    assert RunFolder(config.folder).is_done


@pytest.mark.parametrize("name", [".lock", "manifest.json", "config.yaml", "metrics.csv"])
def test_a_folder_where_a_file_must_be(tmp_path, name):
    config = compose([*BASE, f"results={tmp_path}"])
    (config.folder / name).mkdir(parents=True)
    with pytest.raises((UserError, RunFailedError)) as refused:
        run(config)
    assert name in refused.value.where
    assert len(str(refused.value).splitlines()) == 3


def spawned(tmp_path, words, **streams):
    arguments = [sys.executable, "-m", "scaleinv.cli", *words]
    return subprocess.Popen(arguments, cwd=tmp_path, stderr=subprocess.PIPE, text=True, **streams)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_output_that_cannot_be_written(command, tmp_path, monkeypatch):
    """A sweep in this process; and a process, which flushes once more when it ends."""
    with open("/dev/full", "w") as full, monkeypatch.context() as patch:  # noqa: PTH123
        patch.setattr(sys, "stdout", full)
        code, _, err = command(*SWEEP)
    with open("/dev/full", "w") as full:  # noqa: PTH123
        process = spawned(tmp_path, ["--version"], stdout=full)
        err_of_process = process.communicate(timeout=60)[1]
    assert code == process.returncode == outcomes.FAILED
    assert err == err_of_process
    assert err.startswith("error: cannot print: No space left on device\n  where: standard output\n  mend:")
    assert len(err.splitlines()) == 3


def test_a_reader_that_went_away(command, tmp_path, monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", closed)
        code, _, err = command(*SWEEP)
    process = spawned(tmp_path, ["--help"], stdout=subprocess.PIPE)
    process.stdout.close()
    with process.stderr:
        assert err == process.stderr.read() == ""
    assert code == process.wait(60) == outcomes.UNREAD
