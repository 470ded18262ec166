"""Promise: what README.md and its pages in docs/ show works: Python runs, commands compose and run in order."""

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

from scaleinv import cli
from scaleinv.runs.config import compose
from scaleinv.runs.sweeps import expand

ROOT = Path(__file__).parents[1]
# The guides have a test of their own.
PAGES = {page.relative_to(ROOT).as_posix(): page.read_text() for page in (ROOT / "README.md", *ROOT.glob("docs/*.md"))}
del PAGES["docs/expectations.md"]  # a script writes it and runs what stands there, some of it wrong on purpose
BLOCKS = [
    (page, *block) for page, text in PAGES.items() for block in re.findall(r"```(\w*)\n(.*?)```", text, re.DOTALL)
]
PYTHON = [
    pytest.param(block, id=f"{page}-{i}") for i, (page, language, block) in enumerate(BLOCKS) if language == "python"
]
HELP = {c for text in PAGES.values() for c in re.findall(r"scaleinv-run [^`\n#]*--help", text)}
COMMANDS = sorted({c for text in PAGES.values() for c in re.findall(r"scaleinv-run [^`\n#]*=[^`\n#]*", text)} - HELP)


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
    if "hydra/launcher=joblib" in words:
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    jobs = expand(words)
    assert len(jobs) == 1 or " -m " in command
    for job in jobs:
        compose(job)


TINY = {
    "profile": "smoke",
    "network.hidden": "[8]",
    "epochs": "1",
    "threads": "1",
    "progress": "false",
    "device": "cpu",
}


def tiny(words):
    """Give the command in these words a small budget, on embedded data."""
    given = dict(word.split("=", 1) for word in words if "=" in word)
    budget = TINY | {"dataset": "digits"} | ({"task.steps": "2"} if given.get("experiment") == "scale_check" else {})
    flags = [word for word in words if "=" not in word]
    return [*flags, *(f"{key}={value}" for key, value in (given | budget).items())]


def test_the_commands_run_in_order_in_one_folder(tmp_path, monkeypatch, capsys):
    """Those that stand as blocks in README.md, then those of docs/running.md."""
    monkeypatch.chdir(tmp_path)
    blocks = [b for page, language, b in BLOCKS if language == "sh" and page in ("README.md", "docs/running.md")]
    shown = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    assert sum(words[0] == "scaleinv-run" for words in shown) >= 6
    assert {words[1] for words in shown if words[0] == "python"} == {"-m", "scripts/table.py"}
    reader = ["python", "scripts/table.py", "results/runs", "--dataset"]
    for words in [*shown, [*reader, "digits"]]:
        if words[0] == "scaleinv-run":
            monkeypatch.setattr(sys, "argv", [words[0], *(tiny(words[1:]) if words[1] != "--help" else words[1:])])
            with pytest.raises(SystemExit) as stopped:
                cli.main()
            assert stopped.value.code in (0, None), words
        elif words[0] == "python":
            capsys.readouterr()
            read(words, monkeypatch)
            shown = capsys.readouterr()
            assert shown.err == "", words
    assert "| digits, learning rate |" in shown.out
    assert re.search(r"^\| 0\.001 \|.* \d\.\d{4}", shown.out, re.MULTILINE)
    assert "nan" not in shown.out
    assert (tmp_path / "curve.png").exists()
    with pytest.raises(SystemExit, match="there are no records of mnist"):
        read([*reader, "mnist"], monkeypatch)


def read(words, monkeypatch):
    """Run a Python command that reads records, in this process."""
    is_module = words[1] == "-m"
    monkeypatch.setattr(sys, "argv", words[2:] if is_module else words[1:])
    try:
        if is_module:
            monkeypatch.delitem(sys.modules, f"{words[2]}.__main__", raising=False)
            runpy.run_module(words[2], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(str(ROOT / words[1]), run_name="__main__")
    except SystemExit as stopped:
        if stopped.code not in (0, None):
            raise


def test_make_targets_exist():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page, text in PAGES.items():
        assert set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE)) <= targets, page


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", PAGES["README.md"]):
        assert (ROOT / target).exists(), target


def test_layout_is_complete():
    layout = next(block for page, language, block in BLOCKS if page == "docs/layout.md" and not language)
    for path in (ROOT / "scaleinv").iterdir():
        if not path.name.startswith("_") and path.suffix != ".typed" and not path.name.endswith(".pyc"):
            assert path.name in layout or f"{path.name}/" in layout, path.name
    for name in re.findall(r"^(\w+)/", layout, re.MULTILINE):
        assert (ROOT / name).is_dir()
