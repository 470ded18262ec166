"""Promise: imports point one way, and what draws and judges needs no torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "scaleinv"
# Each layer may import those before it only.
LAYERS = [
    ["errors", "registry", "suggestions"],
    ["network"],
    ["skeleton"],
    ["symmetry"],
    ["spaces", "optim", "backprop"],
    ["starts", "probes"],
    ["data", "graphs", "environment"],
    ["training", "checks", "reference", "wrappers"],
    ["config", "records", "best", "methods"],
    ["build"],
    ["tasks"],
    ["run"],
    ["outcomes"],
    ["cli"],
    ["claims"],
    ["release"],
    ["study"],
]
NO_TORCH = [
    *("records", "config", "cli", "outcomes", "best", "methods", "claims", "release"),
    *(f"figures.{f.stem}" for f in sorted((PACKAGE / "figures").glob("*.py")) if f.stem != "__main__"),
]
# Knows nothing of configurations, files or tables.
PURE = [
    "network",
    "skeleton",
    "symmetry",
    "backprop",
    *(f"{p}.{f.stem}" for p in ("spaces", "optim", "starts", "probes") for f in (PACKAGE / p).glob("*.py")),
]


def imported(path: Path) -> set[str]:
    """Names of the modules that a file imports when it is imported (function bodies and type checking aside)."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_layers():
    rank = {name: i for i, layer in enumerate(LAYERS) for name in layer}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] in ("__init__", "figures"):
            continue
        for module in imported(path):
            if module.startswith("scaleinv."):
                target = module.split(".")[1]
                if target in rank:
                    assert rank[target] <= rank[parts[0]], f"{path.name} imports {module}"


@pytest.mark.parametrize("module", PURE)
def test_the_core_knows_no_configuration_and_no_files(module):
    path = PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
    roots = {name.split(".")[0] for name in imported(path)}
    assert not roots & {"hydra", "omegaconf", "pandas", "matplotlib", "pathlib", "os", "json", "csv"}


@pytest.mark.parametrize("module", NO_TORCH)
def test_no_torch(module):
    probe = f"import sys, scaleinv.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0
