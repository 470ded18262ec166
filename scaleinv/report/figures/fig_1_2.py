"""Two hidden nodes change places and the function stays (thesis, figure 1.2)."""

import pandas as pd

from scaleinv.report.figures._equal_networks import EXPERIMENT as EXPERIMENT
from scaleinv.report.figures._equal_networks import draw_pair
from scaleinv.report.figures.style import Drawing, styled


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw a network before and after a permutation."""
    caption = "Two hidden nodes in each other's place, with the weights into them and out of them: the same function."
    return draw_pair(records, "permutation", "two nodes exchanged", caption)
