"""The notebooks as pages: their text and code, with the notebook itself to download."""

import json
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files


def page(notebook: Path) -> str:
    """Return a notebook as Markdown."""
    parts = []
    for cell in json.loads(notebook.read_text())["cells"]:
        source = "".join(cell["source"])
        parts.append(f"```python\n{source}\n```" if cell["cell_type"] == "code" else source)
    return "\n\n".join([*parts, f"[This page as a notebook]({notebook.name})"])


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page per notebook, beside it."""
    for file in list(files):
        if file.src_uri.endswith(".ipynb") and file.abs_src_path:
            content = page(Path(file.abs_src_path))
            files.append(File.generated(config, f"{file.src_uri.removesuffix('.ipynb')}.md", content=content))
    return files
