"""Promise: the documentation site is whole, loads nothing from elsewhere, and what it shows runs."""

import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from scaleinv import cli
from scaleinv.report import compare
from scaleinv.report.figures import __main__ as figures
from scaleinv.study import experiments

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def script(path):
    """Import a file of scripts/."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / "scripts" / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site strictly, but for the reference, which takes longer: make docs builds that too."""
    building, configuration = pytest.importorskip("mkdocs.commands.build"), pytest.importorskip("mkdocs.config")
    pytest.importorskip("mkdocstrings")
    listed = re.findall(r"scripts/site/\w+\.py$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    hooks = [path for path in listed if path != "scripts/site/reference.py"]
    folder = tmp_path_factory.mktemp("site")
    building.build(configuration.load_config(str(ROOT / "mkdocs.yml"), strict=True, hooks=hooks, site_dir=str(folder)))
    return folder


def test_every_page_is_in_the_site_and_nothing_is_loaded_from_elsewhere(site):
    written = [*DOCS.rglob("*.md"), *DOCS.rglob("*.ipynb")]
    pages = {path.relative_to(DOCS).with_suffix(".html").as_posix().replace("README", "index") for path in written}
    assert len(pages) > 20
    assert {page for page in pages if not (site / page).exists()} == set()
    menu = re.findall(r'<a href="/([^"]+)" class="md-nav__link', (site / "404.html").read_text())
    assert pages <= set(menu)
    assert len(menu) == len(set(menu))
    for page in site.rglob("*.html"):
        loaded = r"<(?:script|img|link|iframe)\b[^>]*?\b(?:src|href)=[\"']?((?:https?:)?//[^\"' >]+)"
        assert re.findall(loaded, page.read_text()) == [], page


def test_the_gallery_shows_every_figure_and_commands_that_are_there(site):
    text = script("site/gallery.py").gallery(ROOT)
    assert len(re.findall(r"^### ", text, re.MULTILINE)) == len(figures.known_figures())
    named = set(re.findall(r"scaleinv\.study --only (\w+)", text))
    assert named
    assert named <= set(experiments())
    for path in re.findall(r"\]\((results/[^)]*)\)", text):
        assert (site / path).exists(), path


def test_the_reference_has_a_page_for_every_package():
    pytest.importorskip("mkdocs")
    pages = script("site/reference.py").pages()
    assert {path.parent for path in (ROOT / "scaleinv").rglob("__init__.py")} == {
        ROOT.joinpath(*Path(page).stem.split(".")) for page in pages
    }
    assert "::: scaleinv.spaces.gspace" in pages["reference/scaleinv.spaces.md"]
    assert "[`scaleinv.load_model`][scaleinv.runs.weights.load_model]" in pages["reference/scaleinv.md"]


def test_the_citation_names_what_the_file_names():
    pytest.importorskip("mkdocs")
    told = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    entry = script("site/citation.py").bibtex(ROOT / "CITATION.cff")
    assert f"version = {{{told['version']}}}" in entry
    assert told["authors"][0]["name"] in entry


def test_the_picture_of_the_spaces_shows_which_are_invariant():
    """After the rescaling the invariant spaces have the coordinates, and after a step the outputs, of before."""
    table = script("draw_spaces.py").draw().table
    spread = table.drop(columns="scale").groupby("space").agg(lambda column: column.max() - column.min())
    invariant = spread.loc[["G-space", "cycle space"]]
    assert invariant.drop(columns="coordinate b").max(axis=None) < 1e-12
    assert invariant["coordinate b"].isna().all()
    assert spread.loc["weight space"].min() > 1
    assert spread.loc["fixed-weight space"].drop("coordinate b").min() > 1


def run(words, monkeypatch):
    """Run a command in this process."""
    mains = {"scaleinv-run": cli.main, "scaleinv-compare": compare.main, "python": figures.main}
    rest = [*words[1:], "threads=1", "progress=false"] if words[0] == "scaleinv-run" else words[1:]
    monkeypatch.setattr(sys, "argv", rest[1:] if words[0] == "python" else [words[0], *rest])
    code = None
    try:
        mains[words[0]]()
    except SystemExit as stopped:
        code = stopped.code
    assert not code, words


@pytest.mark.slow
def test_the_tutorial_runs_and_comes_to_its_verdicts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```(sh|text)\n(.*?)```", (DOCS / "tutorial.md").read_text(), re.DOTALL)
    commands = [shlex.split(line) for language, block in blocks if language == "sh" for line in block.splitlines()]
    assert len(commands) == 6
    for words in commands:
        run(words, monkeypatch)
    assert Path("curve.png").exists()
    quoted = [block for language, block in blocks if language == "text"]
    for name, block in zip(("g_against_weight", "g_against_start"), quoted, strict=True):
        table = pd.read_csv(f"{name}.csv").set_index("effect")
        rows = re.findall(r"^  (\S.*?)  +(\S+) \[.*?\] +(\d+) seeds .* (\w+)$", block, re.MULTILINE)
        assert len(rows) == 2
        for effect, value, n, verdict in rows:
            assert (table["n"][effect], table["verdict"][effect]) == (int(n), verdict)
            assert table["value"][effect] == pytest.approx(float(value), abs=0.02)  # round-off differs by processor


@pytest.mark.slow
@pytest.mark.parametrize("notebook", sorted(DOCS.glob("notebooks/*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_runs(notebook, tmp_path):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    cells = nbformat.read(notebook, as_version=4)
    assert all(not cell.get("outputs") for cell in cells.cells)
    nbclient.NotebookClient(cells, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
