"""Protect files that this program did not write from its figures, claims and releases."""

from collections.abc import Callable
from pathlib import Path

from scaleinv.runs.errors import UserError


class ForeignError(UserError):
    """The path of an output is taken by a file or folder that this program did not write."""


def refuse_foreign(path: Path, is_ours: Callable[[bytes], bool]) -> None:
    """Check that a path may be written: it is free, or holds an earlier output.

    Args:
        path: path to be written.
        is_ours: function from a file's content to whether this program wrote it.

    Raises:
        ForeignError: the path is a folder, a symbolic link, or a file that this program did not write.
    """
    if path.is_symlink() or (path.exists() and not (path.is_file() and is_ours(path.read_bytes()))):
        raise ForeignError("there is something here that this program did not write", path, "choose another --out")
