"""Learning rate against value of the fixed weights (thesis, figure 4.7)."""

import pandas as pd

from scaleinv.report.figures.style import Drawing, styled
from scaleinv.report.figures.value_grid import value_grid

EXPERIMENT = "fig_4_7"


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the records of the experiment."""
    return value_grid(records)
