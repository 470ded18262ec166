"""Errors that a user can fix: what is wrong, where, and how to fix it."""

import errno
import os
from pathlib import Path

_ELSEWHERE = "or choose another folder with results=..."
_MENDS = {
    errno.ENOSPC: "make room; the same command goes on",
    errno.EDQUOT: "make room; the same command goes on",
    errno.EROFS: f"make it writable, {_ELSEWHERE}",
    errno.EACCES: f"give yourself the right to read and write it, {_ELSEWHERE}",
    errno.EPERM: f"give yourself the right to read and write it, {_ELSEWHERE}",
    errno.EEXIST: f"move away what stands there, {_ELSEWHERE}",
    errno.ENOTDIR: f"move away what stands there, {_ELSEWHERE}",
    errno.EISDIR: f"move away what stands there, {_ELSEWHERE}",
    errno.ELOOP: f"move away what stands there, {_ELSEWHERE}",
    errno.ENAMETOOLONG: "choose shorter names for name and results",
}


class ScaleinvError(Exception):
    """An error that is shown as three lines, without a traceback."""

    def __init__(self, what: str, where: object = "", how: str = "") -> None:
        """Store the message.

        Args:
            what: what is wrong.
            where: configuration key or path.
            how: how to fix it.
        """
        super().__init__(what)
        self.what, self.where, self.how = what, str(where), how

    def __str__(self) -> str:
        """Return at most three lines."""
        lines = [f"error: {self.what}"]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.how:
            lines.append(f"  mend:  {self.how}")
        return "\n".join(lines)


class RunFailedError(ScaleinvError):
    """A run that stopped with an exception; its traceback is in the folder's ``error.txt``."""


class UserError(ScaleinvError):
    """A mistake in a command, a configuration or the data; nothing was started."""


class ConfigError(UserError):
    """A key or value of the configuration."""


class DataError(UserError):
    """A data set that is missing or damaged."""


def file_trouble(error: OSError, path: object = "") -> tuple[str, str, str]:
    """Explain an error of the operating system.

    Args:
        error: the error.
        path: file or folder that was in use; the error's own ``filename`` takes precedence.

    Returns:
        The arguments of a :class:`ScaleinvError`: what was refused, where, and how to fix it.
    """
    what = error.strerror or str(error).strip() or type(error).__name__
    where = str(error.filename or path)
    for above in (Path(where), *Path(where).parents) if where else ():
        if os.path.islink(above) and not os.path.exists(above):  # noqa: PTH110, PTH114  (pathlib raises for long names)
            what, where = "this link leads nowhere", str(above)
        elif error.errno == errno.ENOTDIR and os.path.isfile(above):  # noqa: PTH113
            what, where = "this is a file, not a folder", str(above)
    return what, where, _MENDS.get(error.errno or 0, "")
