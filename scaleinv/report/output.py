"""Where figures, claims and releases are written: never over a file that they did not write."""

from collections.abc import Callable
from pathlib import Path

from scaleinv.runs.errors import UserError


class ForeignError(UserError):
    """A file or folder that stands where output should go was not written by this program."""


def refuse_foreign(path: Path, is_ours: Callable[[bytes], bool]) -> None:
    """Make sure that a path can be written: it is free, or holds an earlier output.

    Args:
        path: to be written.
        is_ours: says of a file's content whether this program wrote it.

    Raises:
        ForeignError: it is a folder, a symbolic link, or holds something else.
    """
    if path.is_symlink() or (path.exists() and not (path.is_file() and is_ours(path.read_bytes()))):
        raise ForeignError("there is something here that this program did not write", path, "choose another --out")
