"""Lists of numbers as people write them: ``log(1e-4,1,9)``, ``lin(0,1,5)``, ``grid(1,5,decades=4)``, ``range(10,20)``.

They are written out before anything else sees them, in exact decimal arithmetic: equal grids give runs equal ids.
"""

import ast
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from scaleinv.runs.errors import ConfigError

Number = int | float
# Significant digits of numbers between the ends of a grid.
DIGITS = 12
# Largest number of points: a mistyped one must not fill the memory.
MOST = 100_000


class Grid(list[Any]):
    """The numbers of a grid, which stand in a surrounding list without brackets of their own."""


def log(first: Number, last: Number, count: int) -> list[Number]:
    """Return ``first (last / first)^(i / (count - 1))`` for i = 0 to count - 1: equal ratios."""
    _require(first > 0 and last > 0, "both ends must be greater than 0")
    ratio = _exact(last) / _exact(first)
    return _between(first, last, count, lambda share: _exact(first) * ratio**share)


def lin(first: Number, last: Number, count: int) -> list[Number]:
    """Return ``first + (last - first) i / (count - 1)`` for i = 0 to count - 1: equal differences."""
    return _between(first, last, count, lambda share: _exact(first) + (_exact(last) - _exact(first)) * share)


def grid(*factors: Number, decades: int, to: Number = 1) -> list[Number]:
    """Return ``factor to / 10^k`` for every factor in [1, 10) and k = decades down to 1: all are below ``to``.

    For example ``grid(1,5,decades=2)`` is 0.01, 0.05, 0.1, 0.5.
    """
    top = _exact(to).normalize()
    _require(bool(factors) and all(1 <= factor < 10 for factor in factors), "factors must be from 1 to below 10")
    _require(top > 0 and top.as_tuple().digits == (1,), "to must be a power of ten")
    _require(isinstance(decades, int) and 1 <= decades <= 600, "decades must be a whole number from 1")
    is_whole = all(isinstance(number, int) for number in (*factors, to))
    powers = (top.scaleb(k) for k in range(-decades, 0))
    return [_number(power * _exact(factor), is_whole) for power in powers for factor in sorted(set(factors))]


def whole(first: int, last: int | None = None, step: int = 1) -> list[Number]:
    """Return the whole numbers from ``first`` to below ``last``, or from 0 to below ``first``; as Python's range."""
    begin, end = (0, first) if last is None else (first, last)
    _require(all(isinstance(number, int) for number in (begin, end, step)) and step != 0, "it takes whole numbers")
    numbers = range(begin, end, step)
    _require(0 < len(numbers) <= MOST, f"it must have from 1 to {MOST} numbers")
    return list(numbers)


# Name of each notation in a configuration -> its function, and an example.
NOTATIONS: dict[str, tuple[Callable[..., list[Number]], str]] = {
    "log": (log, "log(first,last,count), such as log(1e-4,1,9)"),
    "lin": (lin, "lin(first,last,count), such as lin(0,1,5)"),
    "grid": (grid, "grid(factors,decades=...,to=1), such as grid(1,5,decades=4)"),
    "range": (whole, "range(first,last), such as range(10,20)"),
}


def numbers(name: str, arguments: Sequence[Any], options: Mapping[str, Any]) -> Grid:
    """Return the numbers of a grid.

    Args:
        name: one of ``NOTATIONS``.
        arguments: what is in its brackets.
        options: arguments with names.

    Raises:
        ConfigError: an argument is missing, unknown or out of range.
    """
    function, usage = NOTATIONS[name]
    text = ",".join([*map(str, arguments), *(f"{key}={value}" for key, value in options.items())])
    try:
        inspect.signature(function).bind(*arguments, **options)
        for value in (*arguments, *options.values()):
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            _require(is_number and abs(value) < float("inf"), f"{value!r} is not a number")
        return Grid(function(*arguments, **options))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name}({text}) is no list of numbers: {error}", "", f"write {usage}") from error


def written_out(given: Any) -> Any:
    """Return a value with the text of a grid, alone or as an entry of a list, replaced by its numbers.

    Raises:
        ConfigError: the text is a grid with wrong arguments.
    """
    if isinstance(given, str):
        return list(parts) if isinstance(parts := _read(given), Grid) else given
    if not isinstance(given, list):
        return given
    entries = [_read(entry) if isinstance(entry, str) else entry for entry in given]
    return [number for entry in entries for number in (entry if isinstance(entry, Grid) else [entry])]


def _read(text: str) -> Any:
    """Read the text of a grid; return any other text as it is."""
    if not re.fullmatch(rf"\s*({'|'.join(NOTATIONS)})\s*\(.*\)\s*", text, re.DOTALL):
        return text
    try:
        call = ast.parse(text.strip(), mode="eval").body
        assert isinstance(call, ast.Call)
        assert isinstance(call.func, ast.Name)
        arguments = [ast.literal_eval(argument) for argument in call.args]
        options = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (SyntaxError, ValueError, AssertionError) as error:
        usages = "; ".join(usage for _, usage in NOTATIONS.values())
        raise ConfigError(f"{text} cannot be read", "", f"write {usages}") from error
    return numbers(call.func.id, arguments, options)


def _between(first: Number, last: Number, count: int, at: Callable[[Decimal], Decimal]) -> list[Number]:
    """Return the ends as they are, and the points between them, rounded."""
    _require(isinstance(count, int) and 2 <= count <= MOST, f"count must be a whole number from 2 to {MOST}")
    is_whole = isinstance(first, int) and isinstance(last, int)
    inner = [_number(at(Decimal(i) / (count - 1)), is_whole) for i in range(1, count - 1)]
    listed = [first, *inner, last]
    _require(len(set(listed)) == count, "its points coincide")
    return listed


def _exact(number: Number) -> Decimal:
    """Return the decimal number that was written."""
    return Decimal(repr(number))


def _number(exact: Decimal, is_whole: bool) -> Number:
    rounded = float(f"{exact:.{DIGITS - 1}e}")
    return int(rounded) if is_whole and rounded.is_integer() else rounded


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
