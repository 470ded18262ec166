"""Path-SGD beside SGD, AdaGrad and Adam, from balanced and unbalanced starts."""

import pandas as pd

from scaleinv.report.figures.curves import lr_figure
from scaleinv.report.figures.style import Drawing, styled

EXPERIMENT = "path_sgd"


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw one panel per start."""
    sigma = records["start.sigma"].map(lambda s: "default start" if s == 0 else f"start rescaled, sigma {s:g}")
    return lr_figure(
        records.assign(dataset=records["dataset"] + ", " + sigma),
        "Best validation loss against the learning rate, from the default initialisation and from the same networks"
        " rescaled by powers of two near exp(sigma N). Path-SGD computes the same numbers in both panels.",
        ["start.sigma"],
    )
