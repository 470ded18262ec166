"""Learning rate against value of the fixed weights, trained longer than the study could."""

import pandas as pd

from scaleinv.figures.style import Drawing, styled
from scaleinv.figures.value_grid import value_grid

EXPERIMENT = "long_grid"


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the records of the experiment."""
    return value_grid(records)
