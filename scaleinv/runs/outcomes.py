"""How commands end: sentences for a person and exit codes for a shell. Knows no torch."""

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
# What a shell says of any program whose reader went away (``| head``).
UNREAD = 141


def terminate(signum: int, frame: Any) -> None:
    """Handle SIGTERM: end in good order, resumable."""
    sys.exit(TERMINATED)


def say(text: str) -> None:
    """Print at once; where that cannot be done, end the process."""
    try:
        print(text, flush=True)
    except OSError as error:
        sys.exit(_unprintable(error))


def complain(text: object) -> None:
    """Print on stderr, if anybody listens."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


@contextmanager
def printed() -> Iterator[None]:
    """See to it that all that the body prints is written, or say why it is not."""
    try:
        yield
    finally:
        try:
            sys.stdout.flush()
        except OSError as error:
            sys.exit(_unprintable(error))


def explain(error: BaseException) -> int:
    """Say in at most three lines what is wrong, where, and how to mend it; return the exit code."""
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
    else:  # not foreseen: a bug of ours, and the traceback is what we would ask for
        traceback.print_exception(error)
    return FAILED


def _unprintable(error: OSError) -> int:
    """Give up standard output; say why, unless its reader went away, which is no fault."""
    with suppress(OSError, ValueError):  # what is still in the buffer would fail again when the interpreter ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return UNREAD
    mend = "send it elsewhere, or make room; finished runs are kept, and the same command goes on"
    complain(RunFailedError(f"cannot print: {error.strerror}", "standard output", mend))
    return FAILED
