"""The four kinds of weights in G-space (thesis, figure 2.3)."""

import pandas as pd

from scaleinv.report.figures.graph_drawing import network_figure
from scaleinv.report.figures.style import GREEN, RED, SKY, Drawing, styled

EXPERIMENT = "fig_2_3"
# Kind of a weight -> colour and label.
KINDS = {
    "root": (GREEN, "free skeleton weight"),
    "fixed": (RED, "fixed skeleton weight"),
    "first": ("0.55", "other, first layer"),
    "free": (SKY, "other, behind it"),
}


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw one network per panel, its weights coloured by their kind in the space's chart."""
    caption = (
        "The four kinds of weights of G-space with the default skeleton, read off the chart; inputs on the left."
        " Unequal widths: a free skeleton weight stands wherever the way back to the inputs has no fixed one."
    )
    return network_figure(records, KINDS, ("first", "free"), caption)
