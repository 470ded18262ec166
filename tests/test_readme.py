"""Promise: what the README shows works: its Python runs, its commands compose, its links and layout are there."""

import re
import shlex
from pathlib import Path

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser

from scaleinv.runs.config import compose

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, re.DOTALL)
PYTHON = [block for language, block in BLOCKS if language == "python"]
COMMANDS = sorted(set(re.findall(r"scaleinv-run (?!--help)[^`\n#]*=[^`\n#]*", TEXT)))


@pytest.mark.parametrize("block", PYTHON, ids=[re.findall(r"import (\w+)", block)[-1] for block in PYTHON])
def test_python_runs(block):
    exec(compile(block, "README.md", "exec"), {})


def test_every_wrapper_is_shown():
    shown = "".join(PYTHON)
    assert all(name in shown for name in ("SpaceOptimizer(", "SpaceModule(", "fix_weights(", "scale_check("))


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_compose(command):
    words = [word for word in shlex.split(command)[1:] if word != "-m"]
    jobs = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(words), None)[0]
    assert len(jobs) == 1 or " -m " in command
    for job in jobs:
        compose(job)


def test_make_targets_exist():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z-]+)", TEXT)) - {"it"} <= targets


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (ROOT / target).exists(), target


def test_layout_is_complete():
    layout = next(block for language, block in BLOCKS if not language)
    for path in (ROOT / "scaleinv").iterdir():
        if not path.name.startswith("_") and path.suffix != ".typed" and not path.name.endswith(".pyc"):
            assert path.name in layout or f"{path.name}/" in layout, path.name
    for name in re.findall(r"^(\w+)/", layout, re.MULTILINE):
        assert (ROOT / name).is_dir()
