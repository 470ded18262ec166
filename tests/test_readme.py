"""Promise: what README.md and docs/ show works: the Python runs, commands compose, links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser

from scaleinv.runs.config import compose

ROOT = Path(__file__).parents[1]
PAGES = {
    page.relative_to(ROOT).as_posix(): page.read_text() for page in (ROOT / "README.md", *ROOT.glob("docs/**/*.md"))
}
BLOCKS = [
    (page, *block) for page, text in PAGES.items() for block in re.findall(r"```(\w*)\n(.*?)```", text, re.DOTALL)
]
PYTHON = [
    pytest.param(block, id=f"{page}-{i}") for i, (page, language, block) in enumerate(BLOCKS) if language == "python"
]
COMMANDS = sorted({c for text in PAGES.values() for c in re.findall(r"scaleinv-run (?!--help)[^`\n#]*=[^`\n#]*", text)})


@pytest.mark.parametrize("block", PYTHON)
def test_python_runs(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "a page", "exec"), {"__name__": "a page"})


def test_every_wrapper_is_shown():
    shown = "".join(block for _, language, block in BLOCKS if language == "python")
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
    for page, text in PAGES.items():
        assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets, page


def test_links_lead_somewhere():
    for page, text in PAGES.items():
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
            assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"


def test_layout_is_complete():
    layout = next(block for page, language, block in BLOCKS if page == "docs/layout.md" and not language)
    for path in (ROOT / "scaleinv").iterdir():
        if not path.name.startswith("_") and path.suffix != ".typed" and not path.name.endswith(".pyc"):
            assert path.name in layout or f"{path.name}/" in layout, path.name
    for name in re.findall(r"^(\w+)/", layout, re.MULTILINE):
        assert (ROOT / name).is_dir()
