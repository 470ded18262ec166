"""How to cite: CITATION.cff as BibTeX."""

from pathlib import Path

import yaml
from mkdocs.structure.pages import Page

MARKER = "<!-- citation -->"


def bibtex(citation: Path) -> str:
    """Return the entry of the software."""
    told = yaml.safe_load(citation.read_text())
    authors = " and ".join(f"{{{author['name']}}}" for author in told["authors"])
    fields = {"title": f"{{{told['title']}}}", "author": authors, "version": told["version"], "note": told["license"]}
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@software{{{told['title']},", *lines, "}"])


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Fill in the entry where the marker stands."""
    if MARKER not in markdown:
        return markdown
    return markdown.replace(MARKER, f"```bibtex\n{bibtex(Path(__file__).parents[2] / 'CITATION.cff')}\n```")
