"""Remove runs: the files that a run writes, and its folder, after showing them and asking.

Nothing is removed if one of the runs is being written, was published, or has a file in its folder that no run wrote.
Links are not followed.
"""

import argparse
import sys
from pathlib import Path

from scaleinv.report.commands._run import Run
from scaleinv.report.commands._selection import add_selection, require, select
from scaleinv.report.commands._text import size
from scaleinv.report.commands.ls import listing
from scaleinv.runs.errors import UserError
from scaleinv.runs.folder import COMPRESSED, BusyError, DamagedError, metrics_file
from scaleinv.runs.outcomes import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``scaleinv-runs rm``."""
    add_selection(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(options: argparse.Namespace) -> None:
    """Check, show, ask, remove."""
    if not options.words:
        raise UserError("no run is named", "", "name the runs to remove, or give conditions; ls takes the same words")
    for word in options.words:
        for path in (Path(word), options.results / word):
            _refuse_links(path, options.results)
    runs = select(options.words, options.results)
    require(runs, options.results)
    for one in runs:
        check(one)
    files = [path for one in runs for path in one.path.rglob("*") if path.is_file()]
    say("\n".join(listing(runs)))
    say(f"{len(runs)} runs, {len(files)} files, {size(sum(path.stat().st_size for path in files))}")
    if not options.yes and not _agreed():
        say("nothing was removed")
        return
    for one in runs:
        one.folder.remove()
        say(f"removed {one.path}")


def check(one: Run) -> None:
    """Refuse a run that must not be removed.

    Raises:
        BusyError: a process is writing it.
        DamagedError: it cannot be told for certain that a run wrote all that is there.
    """
    mend = "nothing was removed; choose other runs, or look into the folder"
    one.folder.manifest  # noqa: B018  (raises if it is not one)
    if metrics_file(one.path).suffix in COMPRESSED:
        raise DamagedError("these records were published: their metrics are compressed", one.path, mend)
    if one.folder.is_locked:
        raise BusyError("a process is writing this run", one.path, "nothing was removed; wait for it, or stop it")
    if names := one.folder.foreign():
        listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        raise DamagedError(f"there is something that no run wrote: {listed}", one.path, mend)


def _refuse_links(path: Path, results: Path) -> None:
    """Refuse a path that leads through a symbolic link, other than the results folder itself."""
    for above in (path, *path.parents):
        if above in (results, Path(), Path(path.anchor)):
            return
        if above.is_symlink():
            raise UserError("this is a link, and links are not followed", above, "give the path that it leads to")


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise UserError("there is nobody to ask", "standard input", "add --yes; nothing was removed")
    try:
        return input("Remove them? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False
