"""A hidden node is rescaled and the function stays (thesis, figure 1.3)."""

import pandas as pd

from scaleinv.report.figures._equal_networks import EXPERIMENT as EXPERIMENT
from scaleinv.report.figures._equal_networks import draw_pair
from scaleinv.report.figures.style import Drawing, styled


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw a network before and after a rescaling."""
    caption = "The weights into a hidden node times a factor and those out of it divided by it: the same function."
    return draw_pair(records, "rescaling", "one node rescaled", caption)
