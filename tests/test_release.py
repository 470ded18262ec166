"""Promise: figures, claims and tables that are published are what the published records give, without torch."""

import importlib.util
import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pytest
import torch

from scaleinv.report.claim_tables import as_markdown
from scaleinv.report.release import FORMAT
from scaleinv.runs.environment import describe

ROOT = Path(__file__).parents[1]
RELEASE = ROOT / "results" / "release"
TOLD = json.loads((RELEASE / "release.json").read_text())
STUDY = f"results/release/{TOLD['profile']}"
needs_this_format = pytest.mark.skipif(
    TOLD.get("format") != FORMAT, reason="results/release is of an earlier version; scripts/publish.py makes it again"
)
# An entry None in sys.modules would do for us; scipy asks that table for torch.
WITHOUT_TORCH = """
import runpy, sys

class NoTorch:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError("there is no torch")

sys.meta_path.insert(0, NoTorch)
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def run_without_torch(*words):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_this_format
@pytest.mark.slow
def test_figures_are_drawn_from_the_records_alone(tmp_path):
    run_without_torch("scaleinv.report.figures", "all", STUDY, "--out", tmp_path)
    published = {p.name: p for p in (RELEASE / "figures").iterdir()}
    drawn = {p.name: p for p in tmp_path.iterdir()}
    assert set(drawn) == set(published)
    # The bytes of a picture depend on the library that drew it and on the last bit of the processor's logarithms; the
    # numbers do not. That two drawings on one machine are the same bytes is tested in test_study.py.
    here = describe(torch.device("cpu"))["device_name"]
    is_same_machine = here in TOLD["devices"] and TOLD["drawn_with"] == f"matplotlib {version('matplotlib')}"
    for name, path in drawn.items():
        if path.suffix == ".json":
            one, other = json.loads(path.read_text()), json.loads(published[name].read_text())
            assert {**one, "command": ""} == {**other, "command": ""}, name
        elif path.suffix == ".csv":
            pd.testing.assert_frame_equal(pd.read_csv(path), pd.read_csv(published[name]), rtol=1e-6)
        elif is_same_machine:
            assert path.read_bytes() == published[name].read_bytes(), name


@needs_this_format
def test_claims_follow_from_the_records(tmp_path):
    run_without_torch("scaleinv.report.claims", STUDY, "--out", tmp_path / "claims")
    ours, published = pd.read_csv(tmp_path / "claims.csv"), pd.read_csv(RELEASE / "claims.csv")
    pd.testing.assert_frame_equal(ours, published, rtol=1e-4)
    assert as_markdown(published) == (RELEASE / "claims.md").read_text()


@needs_this_format
def test_the_pages_hold_the_released_numbers():
    spec = importlib.util.spec_from_file_location("fill_docs", ROOT / "scripts" / "fill_docs.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        text = page.read_text()
        assert script.filled(text) == text, page


def test_release_is_small_and_names_its_machine():
    size = sum(p.stat().st_size for p in RELEASE.rglob("*") if p.is_file())
    records = sum(p.stat().st_size for p in (ROOT / STUDY).rglob("*") if p.is_file())
    assert records < 20e6
    assert size < 25e6
    assert TOLD["devices"]
    assert all(entry["command"].startswith("scaleinv-run experiment=") for entry in TOLD["experiments"].values())


def test_no_path_of_a_machine():
    texts = {path: path.read_text() for path in RELEASE.rglob("*") if path.suffix in (".json", ".yaml", ".txt", ".md")}
    assert len(texts) > 100
    assert [path for path, text in texts.items() if re.search(r"(^|[\s\"'=:])/\w", text, re.MULTILINE)] == []
