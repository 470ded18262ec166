"""The navigation: patterns in mkdocs.yml stand for all pages that no other entry names, so that no page is left out."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files


def named(entry: Any) -> Iterator[str]:
    """List the pages and patterns of an entry."""
    if isinstance(entry, str):
        yield entry
    else:
        for inner in entry.values() if isinstance(entry, dict) else entry:
            yield from named(inner)


def filled(entry: Any, files: Files, taken: set[str]) -> Any:
    """Return an entry with the pages in place of the patterns."""
    if isinstance(entry, dict):
        return {title: filled(inner, files, taken) for title, inner in entry.items()}
    if isinstance(entry, str):
        return entry
    listed: list[Any] = []
    for inner in entry:
        if isinstance(inner, str) and "*" in inner:
            paths = sorted(
                (file.src_uri for file in files.documentation_pages()), key=lambda path: path.removesuffix(".md")
            )
            listed += [path for path in paths if path not in taken and matches(path, inner)]
        else:
            listed.append(filled(inner, files, taken))
    return listed


def matches(path: str, pattern: str) -> bool:
    """Whether a page, in the pattern's folder itself, fits a pattern."""
    return path.count("/") == pattern.count("/") and fnmatchcase(path, pattern)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Fill in the patterns, when the pages that other hooks add are there."""
    config.nav = filled(config.nav, files, {path for path in named(config.nav) if "*" not in path})
    return files
