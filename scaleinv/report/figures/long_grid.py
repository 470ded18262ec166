"""Learning rate against value of the fixed weights, trained longer than the study could."""

import pandas as pd

from scaleinv.report.figures.style import Drawing, styled
from scaleinv.report.figures.value_grid import value_grid

EXPERIMENT = "long_grid"


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the records of the experiment."""
    return value_grid(records)
