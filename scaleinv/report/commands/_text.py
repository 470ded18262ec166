"""Tables of text, and numbers as a person reads them. No torch, no pandas."""

import shutil
import sys
from collections.abc import Sequence
from datetime import datetime


def columns() -> int | None:
    """Return the width of the terminal; None if the output goes elsewhere, so that nothing may be shortened."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def aligned(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Write rows with columns of one width, two blanks between them.

    Args:
        rows: cells, the headings first.
        right: indices of the columns of numbers.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(size) if at in right else cell.ljust(size)
            for at, (cell, size) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def duration(seconds: float | None) -> str:
    """Write a time in two units at most: 7.3s, 54s, 13m, 2h05m, 3d04h."""
    if seconds is None:
        return ""
    if seconds < 100:
        return f"{seconds:.2g}s"
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if minutes < 60:
        return f"{minutes}m"
    return f"{minutes // 60}h{minutes % 60:02}m" if hours < 24 else f"{hours // 24}d{hours % 24:02}h"


def moment(when: datetime | None) -> str:
    """Write a time to the minute, in the time zone of this machine."""
    return "" if when is None else when.astimezone().strftime("%Y-%m-%d %H:%M")


def size(count: int) -> str:
    """Write a number of bytes."""
    for unit in ("B", "KB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000  # type: ignore[assignment]
    return f"{count:.3g} GB"
