"""Which weights are skeleton weights in G-space (thesis, figure 2.2)."""

import pandas as pd
from matplotlib.lines import Line2D

from scaleinv.figures.graph_drawing import draw_network
from scaleinv.figures.style import PAGE, Drawing, panels, styled

EXPERIMENT = "fig_2_2"
# Kind of a weight -> colour and what it is called.
KINDS = {
    "fixed": ("#D55E00", "skeleton weight"),
    "root": ("#D55E00", "skeleton weight"),
    "first": ("0.6", "other weight"),
    "free": ("0.6", "other weight"),
}


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw one network a panel, its weights coloured as the space's chart has them."""
    names = list(dict.fromkeys(records["network"]))
    figure, axes = panels(len(names), width=PAGE + 0.5, height=2.6)
    colors = {kind: color for kind, (color, _) in KINDS.items()}
    for ax, name in zip(axes, names, strict=True):
        draw_network(ax, records[records["network"] == name], colors, ("first", "free"))
        ax.set_title(name)
    told = dict(KINDS.values())
    handles = [Line2D([], [], color=color, linewidth=1.6, label=label) for color, label in told.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    caption = "Skeleton weights of G-space with the default skeleton, read off the chart; inputs on the left."
    return Drawing(figure, records, caption)
