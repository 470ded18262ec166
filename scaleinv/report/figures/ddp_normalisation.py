"""DDP-normalised layers between path normalisation and batch normalisation."""

import pandas as pd

from scaleinv.report.figures._alphas import alpha_figure
from scaleinv.report.figures.style import Drawing, styled

EXPERIMENT = "ddp_normalisation"


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the loss against alpha."""
    what = "SGD on networks with DDP-normalised layers: best validation loss against alpha."
    return alpha_figure(records, "network.alpha", "network.moment", what, ("norm of weights", "batch norm"))
