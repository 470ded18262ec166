"""Promise: a report says which channels may be rescaled and what forbids it to others: a table, JSON and a picture."""

import json
import subprocess
import sys

import pytest
import torch
from small_models import SMALL
from torch import nn

import scaleinv
from scaleinv.report.symmetry import draw
from scaleinv.symmetry.network import UnsupportedNetworkError
from scaleinv.symmetry_command import main


def test_a_report_names_classes_and_anchors():
    model = SMALL["residual_with_batch_norm"].make()
    report = scaleinv.symmetry_report(model, torch.zeros(1, 2, 3, 3))
    parameters = sum(p.numel() for p in model.parameters())
    assert (report.parameters, report.invariances, report.dimension) == (parameters, 7, parameters - 7)
    stream, inner = report.classes
    assert (stream.start, stream.stop, inner.start, inner.stop) == (1, 5, 5, 8)
    assert stream.written == ("stem.1.weight", "stem.1.bias", "block.4.weight", "block.4.bias")
    assert stream.read == ("block.0.weight", "head.weight")
    assert inner.read == ("block.3.weight",)
    anchors = [(a.operation, a.module, a.classes, a.first, a.tensors) for a in report.anchors]
    assert anchors == [
        ("batch_norm", "stem.1", 4, 4, ("stem.0.weight",)),
        ("batch_norm", "block.1", 3, 3, ("block.0.weight",)),
        ("batch_norm", "block.4", 4, 4, ("block.3.weight",)),
        ("output", "", 2, 2, ("head.weight", "head.bias")),
    ]
    text = str(report)
    assert "K = 7 rescalings" in text
    assert "1 to 4   4         stem.1.weight, stem.1.bias and 2 more" in text
    assert (
        "11        batch_norm  stem.1, block.1 and 1 more  divides what it reads by a deviation that includes" in text
    )


def test_what_several_operations_anchor_is_counted_once():
    model = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.Tanh(), nn.Sigmoid()), nn.Linear(3, 3), nn.GELU())
    report = scaleinv.symmetry_report(model, torch.zeros(1, 2))
    counts = {anchor.operation: (anchor.classes, anchor.first) for anchor in report.anchors}
    assert counts == {"tanh": (3, 3), "gelu": (3, 3)}  # what a tanh returns is no channel, nor what a GELU returns


def test_a_chain_needs_no_example():
    report = scaleinv.symmetry_report(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)))
    assert (report.invariances, report.classes[0].written) == (3, ("0.weight", "0.bias"))


def test_the_command_prints_and_writes(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = "nn.Sequential(nn.Conv2d(2, 3, 2), nn.ReLU(), nn.Conv2d(3, 2, 1))"
    (tmp_path / "mine.py").write_text(f"from torch import nn\n\ndef net():\n    return {made}\n")
    command = ["mine:net", "--input", "2,4,4", "--json", "r.json", "--picture", "p"]
    for _ in range(2):  # its own files may be written again
        main(command)
    assert "K = 3 rescalings" in capsys.readouterr().out
    record = json.loads((tmp_path / "r.json").read_text())
    assert (record["parameters"], record["invariances"], record["dimension"]) == (35, 3, 32)
    assert {p.name for p in tmp_path.glob("p.*")} == {"p.pdf", "p.png", "p.csv", "p.json"}
    assert draw(record).table["free"].tolist() == [3, 3, 0, 0]


WRONG = [
    (["mine"], "'mine' names no model"),
    (["nowhere_to_be:net"], "no model comes from nowhere_to_be:net: ModuleNotFoundError"),
    (["torch.nn:Linear"], "no model comes from torch.nn:Linear: TypeError"),
    (["math:pi", "--input", "3"], "no model comes from math:pi"),
    (["torch:Generator", "--input", "3"], "no torch.nn.Module but a Generator"),
    (["torch.nn:Tanh"], "tracing needs the shape of one input"),
    (["torch.nn:Tanh", "--input", "3,x"], "'3,x' is no shape"),
    (["torch.nn:Tanh", "--input", "0"], "'0' is no shape"),
    (["test_symmetry_report:Picks", "--input", "3"], "index in module (the model): the shape of its result"),
]


class Picks(nn.Module):
    def forward(self, x):
        return x[x > 0]


@pytest.mark.parametrize(("command", "words"), WRONG)
def test_a_wrong_command_is_refused(command, words, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(command)
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err


def test_help_needs_no_torch():
    probe = "import sys, scaleinv.symmetry_command; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0


def test_what_cannot_be_described_is_refused():
    with pytest.raises(UnsupportedNetworkError, match="depend on the values"):
        scaleinv.symmetry_report(Picks(), torch.zeros(1, 3))
