"""Try every line and write docs/expectations.md.

    python -m scripts.expectations [--only WORD] [--out docs/expectations.md]

A line is tried in an empty folder, with the commands of this environment. It takes some minutes.
"""

import argparse
import tempfile
import time
from importlib import import_module
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from platform import python_version

from tqdm import tqdm

from scripts.expectations.trying import LINES, Line, NotTriedError, Place

SECTIONS = (
    *("own_data", "own_parts", "own_models", "every_day", "grids"),
    *("trackers", "documents", "installing", "machines"),
)
HEADER = """# Expectations

What people who try scaleinv for work of their own expect, and what happened when it was tried. A script tries each line
in an empty folder and prints what it saw; nothing here is written by hand. {counts}

Made by `python -m scripts.expectations` with Python {python}, torch {torch}, on a CPU.
"""


def attempt(line: Line) -> tuple[str, str, list[str]]:
    """Try a line; return yes, no or not tried, what was seen, and the commands."""
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        try:
            return "yes", line.attempt(place).replace(str(place.folder), "."), place.commands
        except NotTriedError as error:
            return "not tried", str(error), place.commands
        except Exception as error:
            return "**no**", f"{type(error).__name__}: {error}"[:300], place.commands


def row(line: Line, answer: str, seen: str, commands: list[str]) -> str:
    """Write a line of the table."""
    shown = "<br>".join(f"`{_cell(command)}`" for command in commands) or "-"
    return f"| {_cell(line.expectation)} | {shown} | {answer} | {_cell(seen)} |"


def kept(path: Path) -> dict[str, str]:
    """Read the lines of an earlier page, by what is expected."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {line.split(" | ")[0][2:]: line for line in lines if line.startswith("| ")}


def page(rows: dict[str, str]) -> str:
    """Write the table of all lines that were tried."""
    tried = [line for line in LINES if _cell(line.expectation) in rows]
    answers = [rows[_cell(line.expectation)].split(" | ")[-2] for line in tried]
    counts = {answer: answers.count(answer) for answer in ("yes", "**no**", "not tried")}
    said = f"{len(tried)} lines: {counts['yes']} yes, {counts['**no**']} no, {counts['not tried']} not tried."
    parts = [HEADER.format(counts=said, python=python_version(), torch=version("torch"))]
    for section, lines in groupby(tried, key=lambda line: line.section):
        head = f"## {section}\n\n| expected | tried | | what happened |\n| - | - | - | - |"
        parts.append("\n".join([head, *(rows[_cell(line.expectation)] for line in lines), ""]))
    return "\n".join(parts)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    """Try the lines, all or those with a word in them."""
    parser = argparse.ArgumentParser(prog="python -m scripts.expectations", description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="WORD", help="lines with this word; the others stay as they are")
    parser.add_argument("--out", type=Path, default=Path("docs/expectations.md"))
    options = parser.parse_args()
    for name in SECTIONS:  # each adds its lines
        import_module(f"scripts.expectations.{name}")
    word = (options.only or "").lower()
    chosen = [line for line in LINES if word in f"{line.section} {line.expectation}".lower()]
    rows = kept(options.out)
    for line in tqdm(chosen, unit="line"):
        began = time.monotonic()
        answer, seen, commands = attempt(line)
        rows[_cell(line.expectation)] = row(line, answer, seen, commands)
        tqdm.write(f"{answer:<10} {line.expectation}: {seen} ({time.monotonic() - began:.0f} s)")
    options.out.write_text(page(rows))


if __name__ == "__main__":
    main()
