"""Which weights are fixed in fixed-weight space (thesis, figure 3.1)."""

import pandas as pd

from scaleinv.report.figures.graph_drawing import network_figure
from scaleinv.report.figures.style import Drawing, styled

EXPERIMENT = "fig_3_1"
# Kind of a weight -> colour and label.
KINDS = {
    "fixed": ("black", "fixed weight"),
    "root": ("0.7", "free weight"),
    "first": ("0.7", "free weight"),
    "free": ("0.7", "free weight"),
}


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw one network per panel, its weights coloured by their kind in the space's chart."""
    caption = (
        "Fixed weights of fixed-weight space, read off the chart; inputs on the left. Every hidden node has one"
        " outgoing fixed weight; the first layer has none."
    )
    return network_figure(records, KINDS, ("root", "first", "free"), caption)
