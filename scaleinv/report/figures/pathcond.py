"""The gauge at the start: PathCond, balanced, and as drawn."""

import pandas as pd

from scaleinv.report.figures.curves import lr_figure
from scaleinv.report.figures.style import Drawing, styled

EXPERIMENT = "pathcond"


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw all optimizers and starts in one panel per data set."""
    return lr_figure(
        records,
        "Best validation loss against the learning rate, from the default initialisation and from the same networks in"
        " the balanced gauge and in that of PathCond.",
    )
