"""How the methods of a study are drawn, the same way in every figure."""

from collections.abc import Sequence

from scaleinv.report.figures.style import BLACK, BLUE, GREEN, ORANGE, PURPLE, RED, SKY, Series

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
LINES = {"SGD": "-", "momentum": "-.", "Adam": "--", "Adam, no memory": ":", "momentum, no memory": ":"}


def method_series(method: str) -> Series:
    """Return label, colour, marker and line of ``optimizer / space``."""
    optimizer, space = method.split(" / ")
    color, marker = SPACES.get(space, (BLACK, "."))
    style = {"color": color, "marker": marker, "linestyle": LINES.get(optimizer, "-")}
    if optimizer.endswith("no memory"):
        style["markerfacecolor"] = "white"
    return Series(method, style)


def in_order(methods: Sequence[str]) -> list[str]:
    """Sort methods by space, then by optimizer, the same way in every figure; those without a style come last."""
    spaces, optimizers = list(SPACES), list(LINES)

    def rank(method: str) -> tuple[int, int, str]:
        optimizer, space = method.split(" / ")
        by_space = spaces.index(space) if space in spaces else len(spaces)
        by_optimizer = optimizers.index(optimizer) if optimizer in optimizers else len(optimizers)
        return by_space, by_optimizer, method

    return sorted(set(methods), key=rank)
