"""Promise: three rules say who may import whom, and what draws and judges needs no torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "scaleinv"
# The mathematics and the training, from the ground up: each may import itself and what stands before it.
FLOORS = [
    "symmetry",
    "gauges",
    "minima",
    "networks",
    "patterns",
    "numbers",
    "augmentations",
    "gauging",
    "losses",
    "schedules",
    "spaces",
    "optim",
    "starts",
    "penalties",
    "probes",
    "training",
    "binarization",
    "extrinsic",
]
BESIDE = {"augmentations", "gauging", "losses", "schedules", "optim", "starts", "penalties", "probes"}
# What only the runs and the report may know.
OUTSIDE = {"hydra", "omegaconf", "pandas", "matplotlib", "pathlib", "os", "json", "csv"}


def imported(path: Path) -> set[str]:
    """Names of the modules that a file imports when it is imported (function bodies and type checking aside)."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def folders(path: Path) -> set[str]:
    """Folders of the package that a file imports from."""
    return {name.split(".")[1] for name in imported(path) if name.startswith("scaleinv.")}


@pytest.mark.parametrize("folder", FLOORS)
def test_the_mathematics_points_downwards_and_knows_no_files(folder):
    below = set(FLOORS[: FLOORS.index(folder) + 1]) - ((BESIDE - {folder}) if folder in BESIDE else set())
    for path in (PACKAGE / folder).rglob("*.py"):
        assert folders(path) <= below, path
        assert not {name.split(".")[0] for name in imported(path)} & OUTSIDE, path


def test_runs_do_not_know_the_report():
    for path in (PACKAGE / "runs").rglob("*.py"):
        assert "report" not in folders(path), path


REPORT = [
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    for path in sorted((PACKAGE / "report").rglob("*.py"))
    if not path.stem.startswith("__")
]


@pytest.mark.parametrize("modules", [REPORT, ["runs.records", "runs.config", "runs.outcomes", "cli"]])
def test_no_torch(modules):
    probe = f"import sys, {', '.join(f'scaleinv.{module}' for module in modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0


def test_no_import_is_a_circle():
    modules = {
        "scaleinv." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")
    }
    edges = {
        name: {m for found in imported(path) for m in (found, found.rpartition(".")[0]) if m in modules} - {name}
        for name, path in modules.items()
    }
    done: set[str] = set()
    while len(done) < len(edges):
        free = {name for name in edges if name not in done and edges[name] <= done}
        assert free, f"a circle among {sorted(set(edges) - done)}"
        done |= free
