"""The reference: a page for ``scaleinv`` and one for each sub-package, written by mkdocstrings from the docstrings."""

import ast
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import scaleinv

PACKAGE = Path(scaleinv.__file__).parent


def dotted(path: Path) -> str:
    """Return the name of a module, or of a folder of modules."""
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


def defined(path: Path) -> list[str]:
    """List the public classes and functions that a file defines, without those that it only passes on."""
    body = ast.parse(path.read_text()).body
    return [one.name for one in body if isinstance(one, ast.ClassDef | ast.FunctionDef) if not one.name.startswith("_")]


def contents(folder: Path) -> str:
    """Return the page on a package: its docstring, what it defines or gives at once, then each public module."""
    options = f"show_root_heading: false, show_root_toc_entry: false, members: {defined(folder / '__init__.py')}"
    lines = [f"# {dotted(folder)}", f"::: {dotted(folder)}\n    options: {{{options}}}"]
    if folder == PACKAGE:
        exported = sorted(scaleinv._ON_DEMAND.items())
        lines += ["At the top level:", ", ".join(f"[`scaleinv.{name}`][{module}.{name}]" for name, module in exported)]
    lines += [f"::: {dotted(path)}" for path in sorted(folder.glob("[a-z]*.py"))]
    return "\n\n".join(lines)


def pages() -> dict[str, str]:
    """Return the pages, Markdown by path in the site."""
    return {
        f"reference/{dotted(path.parent)}.md": contents(path.parent) for path in sorted(PACKAGE.rglob("__init__.py"))
    }


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    return files
