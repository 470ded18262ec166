"""Which weights are skeleton weights in G-space (thesis, figure 2.2)."""

import pandas as pd

from scaleinv.report.figures.graph_drawing import network_figure
from scaleinv.report.figures.style import RED, Drawing, styled

EXPERIMENT = "fig_2_2"
# Kind of a weight -> colour and label.
KINDS = {
    "fixed": (RED, "skeleton weight"),
    "root": (RED, "skeleton weight"),
    "first": ("0.6", "other weight"),
    "free": ("0.6", "other weight"),
}


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw one network per panel, its weights coloured by their kind in the space's chart."""
    caption = "Skeleton weights of G-space with the default skeleton, read off the chart; inputs on the left."
    return network_figure(records, KINDS, ("first", "free"), caption)
