"""Promise: what the README shows works: its Python runs, its commands compose, its links and layout are there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from scaleinv import cli
from scaleinv.runs.config import compose
from scaleinv.runs.hydra_app import expand

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
    jobs = expand(words)
    assert len(jobs) == 1 or " -m " in command
    for job in jobs:
        compose(job)


TINY = {"profile": "smoke", "network.hidden": "[8]", "epochs": "1", "threads": "1", "progress": "false"}
SHOWN = re.findall(
    r"(?:^|`)(scaleinv-run [^`\n#]*=[^`\n#]*|python (?:-m scaleinv\.report|scripts/table)[^`\n]*)", TEXT, re.MULTILINE
)


def tiny(words):
    """Give the command in these words a small budget, on embedded data."""
    given = dict(word.split("=", 1) for word in words if "=" in word)
    budget = TINY | {"dataset": "digits"} | ({"task.steps": "2"} if given.get("experiment") == "scale_check" else {})
    flags = [word for word in words if "=" not in word]
    return [*flags, *(f"{key}={value}" for key, value in (given | budget).items())]


def test_the_commands_run_in_order_in_one_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    commands = [shlex.split(command) for command in dict.fromkeys(SHOWN)]
    runs = [words for words in commands if words[0] == "scaleinv-run"]
    readers = [words for words in commands if words[0] == "python"]
    assert len(runs) >= 4
    assert {words[1] for words in readers} == {"-m", "scripts/table.py"}
    for words in runs:
        monkeypatch.setattr(sys, "argv", ["scaleinv-run", *tiny(words[1:])])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        assert stopped.value.code == 0, words
    capsys.readouterr()
    for words in [*readers, ["python", "scripts/table.py", "results/runs", "--dataset", "digits"]]:
        script = [str(ROOT / word) if word.startswith("scripts/") else word for word in words[1:]]
        done = subprocess.run([sys.executable, *script], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    assert "| digits, learning rate |" in done.stdout
    assert re.search(r"^\| 0\.001 \|.* \d\.\d{4}", done.stdout, re.MULTILINE)
    assert "nan" not in done.stdout
    assert (tmp_path / "curve.png").exists()
    done = subprocess.run([sys.executable, *script[:-1], "mnist"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "there are no records of mnist" in done.stderr


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
