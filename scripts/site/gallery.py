"""The gallery: all figures that the package can draw, with their captions, commands and numbers."""

import json
from pathlib import Path
from types import ModuleType

from mkdocs.structure.pages import Page

from scaleinv.report.figures.__main__ import draws_study, known_figures
from scaleinv.report.page import drawn, title

RELEASE = Path("results/release")
MARKER = "<!-- gallery -->"
KINDS = {".pdf": "PDF", "_column.pdf": "PDF, one column", ".tex": "LaTeX", ".csv": "numbers", ".json": "inputs"}


def entry(name: str, folder: Path) -> str:
    """Return the section on a figure; what is not in the release has its commands only."""
    module = known_figures()[name]
    lines, is_released = [f"### {title(name)}", ""], (folder / f"{name}.json").exists()
    if is_released:
        path = (RELEASE / "figures" / name).as_posix()
        files = [f"[{kind}]({path}{end})" for end, kind in KINDS.items() if (folder / f"{name}{end}").exists()]
        caption = json.loads((folder / f"{name}.json").read_text())["caption"]
        lines += [f"![{title(name)}]({path}.png)", "", f"{caption} {', '.join(files)}.", ""]
    return "\n".join([*lines, "```sh", *commands(name, module, is_released), "```", ""])


def commands(name: str, module: ModuleType, is_released: bool) -> list[str]:
    """List the commands that draw a figure, from the release and from records of one's own."""
    draw = "python -m scaleinv.report.figures"
    if not draws_study(module) and module.EXPERIMENT is None:
        return [f"{draw} {name} results/runs --out {name}"]
    again = [f"{draw} {name} {(RELEASE / 'cpu').as_posix()} --out {name}"] if is_released else []
    return [*again, *([] if draws_study(module) else [f"python -m scaleinv.study --only {module.EXPERIMENT}"])]


def gallery(root: Path) -> str:
    """Return the Markdown of all figures, those of the release first."""
    folder = root / RELEASE / "figures"
    released = drawn(folder)
    others = [name for name in known_figures() if name not in released]
    parts = ["## Released", *(entry(name, folder) for name in released)]
    parts += ["## Without released records", *(entry(name, folder) for name in others)]
    return "\n\n".join(parts)


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Fill in the gallery where the marker stands."""
    return markdown.replace(MARKER, gallery(Path(__file__).parents[2])) if MARKER in markdown else markdown
