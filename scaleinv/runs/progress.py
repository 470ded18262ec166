"""Progress of a run: a bar in a terminal or notebook, plain lines elsewhere (a log file, a batch system)."""

import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self

from tqdm.auto import tqdm

from scaleinv.runs.outcomes import complain

# Least seconds, and least share of the run, between two plain lines: some twenty lines at most.
SECONDS, PART = 10.0, 0.05


def note(text: str) -> None:
    """Print a note on stderr, above the progress bar if there is one."""
    with suppress(OSError):
        tqdm.write(f"note: {text}", file=sys.stderr)


class Meter(Protocol):
    """A display of a run's progress."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """End."""

    def update(self, n: float, /) -> object:
        """Advance by ``n`` units."""

    def set_postfix_str(self, s: str, refresh: bool) -> None:
        """Set the text after the bar."""


def meter(title: str, total: int, initial: int, shown: bool) -> Meter:
    """Make the display of a run's progress.

    Args:
        title: title of the run.
        total: units of the whole run.
        initial: units that were done before.
        shown: whether to show anything at all.
    """
    if shown and not sys.stderr.isatty() and not _in_notebook():
        return _Lines(title, total, initial)
    return tqdm(
        total=total,
        initial=initial,
        desc=title,
        disable=not shown,
        bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}",
        dynamic_ncols=True,
    )


def _in_notebook() -> bool:
    """Whether this is the kernel of a notebook, which can show a bar although it is not a terminal."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return "IPKernelApp" in getattr(shell, "config", {})


class _Lines:
    """A line from time to time, each complete in itself."""

    def __init__(self, title: str, total: int, initial: int) -> None:
        self.title, self.total, self.done, self.text = title, total, initial, ""
        self.initial, self.began = initial, time.monotonic()
        self.last, self.due = self.began, 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        return

    def update(self, n: float, /) -> None:
        self.done += int(n)
        now = time.monotonic()
        if now - self.last < SECONDS or self.done < self.due or self.done >= self.total:
            return
        self.last, self.due = now, self.done + PART * self.total
        left = (now - self.began) / (self.done - self.initial) * (self.total - self.done)
        detail = f", {self.text}" if self.text else ""
        complain(f"{self.title}: {self.done / self.total:.0%}{detail}, about {_clock(left)} left")

    def set_postfix_str(self, s: str, refresh: bool) -> None:
        self.text = s


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
