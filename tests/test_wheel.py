"""Promise: the wheel, installed in a fresh environment, runs from an empty directory."""

import ast
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
from importlib.metadata import packages_distributions
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def run(*words, cwd):
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([str(w) for w in words], cwd=cwd, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_what_is_imported_is_declared_and_what_is_declared_is_imported():
    """All third-party imports of the package, those in functions too; torch and Hydra bring more than is ours.

    A tracker's package is asked for by name when the tracker is chosen, and laplace-torch is an extra.
    """
    imported = set()
    chosen = {path.stem for path in (ROOT / "scaleinv" / "trackers").glob("[!_]*.py")} | {"laplace"}
    for path in (ROOT / "scaleinv").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])
    owners = packages_distributions()
    needed = {owners[name][0].lower() for name in imported - set(sys.stdlib_module_names) - {"scaleinv"} - chosen}
    assert needed == {re.match(r"[\w-]+", line)[0] for line in PROJECT["project"]["dependencies"]}


def test_version_licence_and_authors_are_the_same_everywhere():
    project, citation = PROJECT["project"], yaml.safe_load((ROOT / "CITATION.cff").read_text())
    (author,) = citation["authors"]
    assert (citation["title"], citation["version"]) == (project["name"], project["version"])
    assert citation["license"] == project["license"] == "MIT"
    assert [author] == project["authors"]
    first, owner = (ROOT / "LICENSE").read_text().split("\n\n")[:2]
    assert first == "MIT License"
    assert owner.endswith(author["name"])
    assert f"## {project['version']}\n" in (ROOT / "CHANGELOG.md").read_text()


def test_the_wheel_runs_from_an_empty_directory(tmp_path):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, ROOT, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "env", symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip()
    run(*pip, "install", "--no-deps", "--quiet", "--target", site, wheel, cwd=tmp_path)
    # The dependencies weigh gigabytes: lend this environment's. Its own .pth files (this checkout) do not apply there.
    Path(site, "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    empty = tmp_path / "empty"
    empty.mkdir()
    where = run(python, "-c", "import scaleinv; print(scaleinv.__file__)", cwd=empty)
    assert where.startswith(str(tmp_path / "env"))
    (metadata,) = Path(site).glob("scaleinv-*.dist-info/METADATA")
    assert "License-Expression: MIT\n" in metadata.read_text()
    assert (metadata.parent / "licenses" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert not re.search(r"\]\((?!https?:)", metadata.read_text())  # on a package's page such links lead nowhere
    assert "## First steps\n" in metadata.read_text()
    sources = [*ROOT.glob("scaleinv/**/*.py"), *ROOT.glob("conf/**/*.yaml")]
    shipped = [path.relative_to(ROOT) for path in sources]
    shipped = [Path("scaleinv", path) if path.parts[0] == "conf" else path for path in shipped]
    assert [path for path in shipped if not (Path(site) / path).exists()] == []
    load = "from importlib.metadata import distribution; [one.load() for one in distribution('scaleinv').entry_points]"
    run(python, "-c", load, cwd=empty)  # the commands
    command = [python, "-m", "scaleinv.cli", "epochs=1", "space=gspace", "progress=false", "threads=1"]
    run(*command, cwd=empty)
    run(python, "-m", "scaleinv.report.figures", "loss_vs_lr", "results", "--out", "picture", cwd=empty)
    picture = {"picture_column.pdf", *(f"picture.{e}" for e in ("pdf", "png", "csv", "json"))}
    assert {p.name for p in empty.iterdir()} == {"results", *picture}
