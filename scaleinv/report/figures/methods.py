"""How the methods of a study are drawn, the same way in every figure."""

from collections.abc import Iterable
from typing import Any

from scaleinv.report.figures.style import BLACK, BLUE, GREEN, ORANGE, PURPLE, RED, SKY, YELLOW, Series

# Short name of a space with its options -> colour and marker.
SPACES = {
    "weight": (BLACK, "o"),
    "G": (ORANGE, "s"),
    "G, kept": (RED, "P"),
    "G, invariant": (BLUE, "X"),
    "fixed": (GREEN, "^"),
    "fixed, kept": (SKY, "v"),
    "fixed, reparametrised": (RED, "<"),
    "cycle": (PURPLE, "D"),
}
LINES: dict[str, Any] = {
    "SGD": "-",
    "momentum": (0, (6, 1.5, 1, 1.5, 1, 1.5)),
    "Adam": "--",
    "Adam, no memory": ":",
    "momentum, no memory": ":",
    "Path-SGD": "-.",
    "AdaGrad": ":",
    "DDP-SGD": "-.",
    "natural gradient": ":",
}
# Method -> what its source calls it. G-Adam was published without memory.
SOURCE_NAMES = {
    "SGD / G": "G-SGD",
    "Adam, no memory / G": "G-Adam",
    "Adam / G": "G-Adam with memory",
    "SGD / fixed": "Fixed SGD",
    "Adam / fixed": "Fixed Adam",
    "SGD / fixed, kept": "Fixed SGD, not 1",
    "Adam / fixed, kept": "Fixed Adam, not 1",
}
# For methods that would look like another one because only their settings differ or their optimizer has no line style.
SPARE_COLORS = (RED, BLUE, GREEN, ORANGE, PURPLE, SKY, BLACK, YELLOW)
SPARE_MARKERS = ("o", "s", "^", "v", "D", "P", "X", "<", ">", "*")


def legend_label(method: str) -> str:
    """Return a method's name, with the name that its source has for it in brackets."""
    name = SOURCE_NAMES.get(method)
    return method if name is None else f"{method} ({name})"


def method_series(method: str) -> Series:
    """Return label, colour, marker and line of ``optimizer / space``; further settings in the name are ignored."""
    optimizer, _ = method.split(" / ")
    color, marker = SPACES.get(_space(method), (BLACK, "."))
    style: dict[str, Any] = {"color": color, "marker": marker, "linestyle": LINES.get(optimizer, "-")}
    if optimizer == "momentum":
        style["fillstyle"] = "left"
    if optimizer.endswith("no memory"):
        style["markerfacecolor"] = "white"
    return Series(legend_label(method), style)


def method_styles(methods: Iterable[str]) -> dict[str, Series]:
    """Return :func:`method_series` of every method of a figure; methods that would look the same get spare colours.

    Args:
        methods: methods that the figure shows, in any order, repeats allowed.
    """
    styles: dict[str, Series] = {}
    taken: set[tuple[str, ...]] = set()
    spare = [(color, marker) for marker in SPARE_MARKERS for color in SPARE_COLORS]
    for method in in_order(methods):
        how = method_series(method)
        looks = [how.style, *(how.style | {"color": color, "marker": marker} for color, marker in spare)]
        style = next((look for look in looks if _key(look) not in taken), how.style)
        taken.add(_key(style))
        styles[method] = Series(legend_label(method), style)
    return styles


def in_order(methods: Iterable[str]) -> list[str]:
    """Sort methods by space, then by optimizer, the same way in every figure; methods without a style come last."""
    spaces, optimizers = list(SPACES), list(LINES)

    def rank(method: str) -> tuple[int, int, str]:
        optimizer, space = method.split(" / ")[0], _space(method)
        by_space = spaces.index(space) if space in spaces else len(spaces)
        by_optimizer = optimizers.index(optimizer) if optimizer in optimizers else len(optimizers)
        return by_space, by_optimizer, method

    return sorted(set(methods), key=rank)


def _space(method: str) -> str:
    """Return the longest space with a style that the method's name contains, or everything after the optimizer."""
    named = method.split(" / ")[1]
    return max((space for space in SPACES if f"{named}, ".startswith(f"{space}, ")), key=len, default=named)


def _key(style: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(style.get(name, "")) for name in ("color", "marker", "linestyle", "markerfacecolor"))
