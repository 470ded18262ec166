"""Learning rate against value of the fixed weights (thesis, figure 4.7)."""

import pandas as pd

from scaleinv.figures.style import Drawing, styled
from scaleinv.figures.value_grid import value_grid

EXPERIMENT = "fig_4_7"


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the records of the experiment."""
    return value_grid(records)
