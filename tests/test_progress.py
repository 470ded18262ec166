"""Promise: a terminal and a notebook show a bar, a log file some plain lines, and ``progress=false`` nothing at all."""

import errno
import os
import sys
from types import SimpleNamespace

import pytest

from scaleinv.runs import progress
from scaleinv.runs.config import compose
from scaleinv.runs.run import run

RUN = ["threads=1", "network.hidden=[8]", "epochs=6", "optimizer.lr=[0.1,0.01]", "space=gspace_keep"]


@pytest.fixture
def clock(monkeypatch):
    """A clock on which every step of a run takes ``seconds``."""

    def set_clock(seconds):
        ticks = iter(range(10**9))
        monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: seconds * next(ticks)))

    return set_clock


@pytest.mark.parametrize(("seconds", "least", "most"), [(0, 0, 0), (1, 8, 22), (100, 15, 22)])
def test_a_log_file_gets_some_lines(tmp_path, capsys, clock, seconds, least, most):
    clock(seconds)
    run(compose([*RUN, f"results={tmp_path}"]))
    shown = capsys.readouterr().err
    lines = shown.splitlines()
    assert least <= len(lines) <= most
    assert "\r" not in shown
    parts = [int(line.partition("members: ")[2].partition("%")[0]) for line in lines]
    assert parts == sorted(set(parts))
    for line in lines:
        assert line.startswith("digits gspace_keep sgd, 2 members: ")
        assert line.endswith(" left")
    if lines:
        assert "epoch 5/6, best val_loss" in lines[-1]


def test_false_is_silent(tmp_path, capsys, clock):
    clock(100)
    run(compose([*RUN, f"results={tmp_path}", "progress=false"]))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("notebook", [False, True])
def test_a_bar_where_it_can_move(tmp_path, capsys, monkeypatch, notebook):
    if notebook:
        shell = SimpleNamespace(config={"IPKernelApp": {}})
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    else:
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    run(compose([*RUN, f"results={tmp_path}"]))
    shown = capsys.readouterr().err
    assert "digits gspace_keep sgd, 2 members 100%|" in shown
    assert "\r" in shown


def test_a_log_that_cannot_be_written_stops_no_run(tmp_path, monkeypatch, clock):
    def full(text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    clock(100)
    monkeypatch.setattr(sys.stderr, "write", full)
    assert "2 members" in run(compose([*RUN, f"results={tmp_path}"]))
