"""What the pages link to outside docs/ has the same path in the site, so that one link serves both readers."""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
DOCS = "docs"
COPIED = ("CHANGELOG.md", "CITATION.cff", "LICENSE", "results/release/*.*", "results/release/*/index.json",
          "results/release/figures/*")  # fmt: skip
# The site has pages of its own in the place of these.
REPLACED = {"README.md": "index.md", "results/release/README.md": "gallery.md"}
LINK = re.compile(r"(\]\()([^)#:\s]+)((?:#[^)]*)?\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files."""
    for path in sorted({path for pattern in COPIED for path in ROOT.glob(pattern)}):
        uri = path.relative_to(ROOT).as_posix()
        if uri.endswith(".html"):  # a page of its own, which mkdocs does not touch
            gallery = posixpath.relpath("gallery.html", posixpath.dirname(uri))
            content = (
                path.read_text().replace("href=README.md", f"href={gallery}").replace("claims.md>", "claims.html>")
            )
            files.append(File.generated(config, uri, content=content))
        elif uri not in REPLACED:
            files.append(File.generated(config, uri, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Let links out of docs/ lead to the files' places in the site."""
    here = posixpath.dirname(page.file.src_uri)

    def moved(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(DOCS, here, link[2]))
        if target.startswith(f"{DOCS}/"):
            return link[0]
        return link[1] + posixpath.relpath(REPLACED.get(target, target), here or ".") + link[3]

    return LINK.sub(moved, markdown) if is_in_docs(page) else markdown


def is_in_docs(page: Page) -> bool:
    """Whether a page stands in docs/, and was not added by a hook."""
    return page.file.generated_by is None
