"""Which weights are fixed in fixed-weight space (thesis, figure 3.1)."""

import pandas as pd
from matplotlib.lines import Line2D

from scaleinv.figures.graph_drawing import draw_network
from scaleinv.figures.style import PAGE, Drawing, panels, styled

EXPERIMENT = "fig_3_1"
# Kind of a weight -> colour and what it is called.
KINDS = {
    "fixed": ("black", "fixed weight"),
    "root": ("0.7", "free weight"),
    "first": ("0.7", "free weight"),
    "free": ("0.7", "free weight"),
}


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw one network a panel, its weights coloured as the space's chart has them."""
    names = list(dict.fromkeys(records["network"]))
    figure, axes = panels(len(names), width=PAGE + 0.5, height=2.6)
    colors = {kind: color for kind, (color, _) in KINDS.items()}
    for ax, name in zip(axes, names, strict=True):
        draw_network(ax, records[records["network"] == name], colors, ("root", "first", "free"))
        ax.set_title(name)
    told = dict(KINDS.values())
    handles = [Line2D([], [], color=color, linewidth=1.6, label=label) for color, label in told.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    caption = (
        "Fixed weights of fixed-weight space, read off the chart; inputs on the left. Every hidden node has one"
        " outgoing fixed weight; the first layer has none."
    )
    return Drawing(figure, records, caption)
