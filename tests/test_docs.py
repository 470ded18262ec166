"""Promise: the documents stand: what docstrings cite is there, links lead somewhere, the guides' examples work."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from scaleinv import cli

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
MATHS = (ROOT / "docs" / "maths.md").read_text()


def cited():
    """List what the package's files cite: equations, theorems and sections of maths.md."""
    for path in (ROOT / "scaleinv").rglob("*.py"):
        for words in re.findall(r"(?<!thesis, )maths\.md,\s+([^)\n]*)", path.read_text()):
            kind = "theorem" if "theorem" in words else "equation" if "eq" in words else "section"
            first, *rest = re.findall(r"\d+(?:\.\d+)*|E\d", words)
            numbers = range(int(first), int(rest[0]) + 1) if kind == "equation" and " to " in words else [first, *rest]
            yield from ((str(path.relative_to(ROOT)), kind, str(number)) for number in numbers)


def there():
    """List the equations, theorems and sections of maths.md."""
    yield from (("equation", number) for number in re.findall(r" {4,}\((\d+)\)$", MATHS, re.MULTILINE))
    yield from (("theorem", number) for number in re.findall(r"^\*\*Theorem (\d+)", MATHS, re.MULTILINE))
    yield from (("section", number) for number in re.findall(r"^#+ (\d+(?:\.\d+)*) ", MATHS, re.MULTILINE))
    yield from (("section", number) for number in re.findall(r"^- \*\*(E\d)", MATHS, re.MULTILINE))
    for section, text in re.findall(r"^### (5\.\d) [^\n]*\n(.*?)(?=^##|\Z)", MATHS, re.MULTILINE | re.DOTALL):
        yield from (("section", f"{section}.{number}") for number in re.findall(r"^(\d+)\. ", text, re.MULTILINE))


def test_what_docstrings_cite_is_there():
    listed, citations = set(there()), list(cited())
    assert len(citations) > 20
    assert [c for c in citations if c[1:] not in listed] == []


def test_equations_and_theorems_are_numbered_through():
    for kind, count in (("equation", 10), ("theorem", 5)):
        assert [number for k, number in there() if k == kind] == [str(n) for n in range(1, count + 1)]


@pytest.mark.parametrize("path", [*DOCS, ROOT / "CHANGELOG.md"], ids=lambda path: path.stem)
def test_links_lead_somewhere(path):
    text = path.read_text()
    headings = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.*)$", text, re.M)}
    for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", text):
        assert (path.parent / target).exists(), target
        assert target or anchor in headings, anchor


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Work in an empty folder, whose modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_a_guide_works(guide, elsewhere, monkeypatch):
    """Its files are written, its Python runs, its first commands run, in the order of the page."""
    blocks = re.findall(r"(?:as\s+`(\w+\.py)`[^`]*)?```(\w+)\n(.*?)```", guide.read_text(), re.DOTALL)
    assert any(not file for file, _, _ in blocks)
    for file, language, block in blocks:
        if file:
            (elsewhere / file).write_text(block)
        elif language == "python":
            exec(compile(block, "a guide", "exec"), {"__name__": "a guide"})
        else:
            line = next(line for line in block.splitlines() if line.startswith("scaleinv-run "))
            monkeypatch.setattr(sys, "argv", [*shlex.split(line), "threads=1"])
            with pytest.raises(SystemExit) as stopped:
                cli.main()
            assert not stopped.value.code, line
