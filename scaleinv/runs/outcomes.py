"""How commands end: messages for a person and exit codes for a shell. Does not import torch."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from scaleinv.runs.composing import translated
from scaleinv.runs.errors import RunFailedError, UserError, file_trouble

DONE, FAILED, REFUSED, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143
# Exit code of a program that writes into a closed pipe (``| head``): 128 + SIGPIPE.
UNREAD = 141


def terminate(signum: int, frame: Any) -> None:
    """Handle SIGTERM: exit cleanly, so that the run can be resumed."""
    sys.exit(TERMINATED)


def say(text: str) -> None:
    """Print and flush; end the process if that is impossible."""
    try:
        print(text, flush=True)
    except OSError as error:
        sys.exit(_unprintable(error))


def complain(text: object) -> None:
    """Print on stderr, ignoring a closed stream."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


@contextmanager
def printed() -> Iterator[None]:
    """Flush standard output after the body; if that fails, say why and exit."""
    try:
        yield
    finally:
        try:
            sys.stdout.flush()
        except OSError as error:
            sys.exit(_unprintable(error))


def explain(error: BaseException) -> int:
    """Print in at most three lines what is wrong, where, and how to fix it; return the exit code."""
    if isinstance(error, KeyboardInterrupt):
        complain("interrupted; the same command goes on from the last checkpoint")
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):
        return _unprintable(error)
    if isinstance(error, HydraException | OmegaConfBaseException):
        error = translated(error)
    elif isinstance(error, OSError):
        error = UserError(*file_trouble(error))
    if isinstance(error, UserError):
        complain(error)
        return REFUSED
    if isinstance(error, RunFailedError):
        complain(error)
    else:  # unforeseen, so a bug: its report needs the traceback
        traceback.print_exception(error)
    return FAILED


def _unprintable(error: OSError) -> int:
    """Close standard output; say why, unless its reader has closed the pipe, which is not an error."""
    with suppress(OSError, ValueError):  # the interpreter flushes what is still in the buffer, which would fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return UNREAD
    mend = "send it elsewhere, or make room; finished runs are kept, and the same command goes on"
    complain(RunFailedError(f"cannot print: {error.strerror}", "standard output", mend))
    return FAILED
