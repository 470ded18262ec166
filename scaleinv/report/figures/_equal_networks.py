"""A network and another one with the same function, side by side, every weight written on its line."""

import pandas as pd
from matplotlib.axes import Axes

from scaleinv.report.figures.style import BLACK, BLUE, ORANGE, Drawing, panels
from scaleinv.report.methods import refuse_several

EXPERIMENT = "fig_1_2"


def draw_pair(records: pd.DataFrame, symmetry: str, title: str, caption: str) -> Drawing:
    """Draw the network as it was drawn and after ``symmetry``; weights that changed are in colour."""
    refuse_several(records, "run")
    records = records[records["seed"] == records["seed"].min()]
    after = records[records["symmetry"] == symmetry]
    figure, axes = panels(2, width=4.6, height=2.2)
    for ax, column, words in zip(axes, ("drawn", "weight"), ("as drawn", title), strict=True):
        _draw(ax, after, column)
        ax.set_title(words)
    change = after["change"].max()
    table = after[["seed", "symmetry", "layer", "head", "tail", "drawn", "weight", "change"]]
    caption += (
        " Orange: positive, blue: negative; wide lines: weights that changed. Largest change of an output, float64:"
        f" {change:.1g}."
    )
    return Drawing(figure, table, caption)


def _draw(ax: Axes, weights: pd.DataFrame, column: str) -> None:
    """Draw the layers from left to right."""
    layers = int(weights["layer"].max())
    sizes = [int(weights.loc[weights["layer"] == 1, "tail"].max()) + 1]
    sizes += [int(weights.loc[weights["layer"] == layer, "head"].max()) + 1 for layer in range(1, layers + 1)]

    def height(layer: int, node: int) -> float:
        return node - (sizes[layer] - 1) / 2

    shown = weights.assign(shown=weights[column], changed=weights["weight"] != weights["drawn"])
    for layer, head, tail, value, changed in shown[["layer", "head", "tail", "shown", "changed"]].to_numpy().tolist():
        ends = (height(layer - 1, tail), height(layer, head))
        color = ORANGE if value > 0 else BLUE
        ax.plot([layer - 1, layer], ends, color=color, linewidth=1.8 if changed else 0.6, zorder=1)
        # Lines that cross meet in the middle: the numbers stand nearer to one end, by turns.
        at = 0.3 if (head + tail) % 2 else 0.7
        place = (layer - 1 + at, ends[0] + at * (ends[1] - ends[0]))
        box = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"}
        ax.text(*place, f"{value:.2f}", ha="center", va="center", fontsize=6, color=color, bbox=box, zorder=2)
    for layer, size in enumerate(sizes):
        nodes = [height(layer, node) for node in range(size)]
        ax.plot([layer] * size, nodes, linestyle="", marker="o", color=BLACK, markerfacecolor="white", markersize=11)
        if 0 < layer < layers:
            for node, y in enumerate(nodes, 1):
                ax.text(layer, y, str(node), ha="center", va="center", fontsize=7, zorder=4)
    ax.invert_yaxis()
    ax.margins(0.08)
    ax.set_axis_off()
