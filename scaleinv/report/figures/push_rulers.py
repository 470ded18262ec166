"""The push measured in weights, balanced gauge, cycle coordinates and predictions."""

import pandas as pd

from scaleinv.report.figures._drift import drift
from scaleinv.report.figures.style import Drawing, styled
from scaleinv.report.pushes import with_pushes

EXPERIMENT = "push_ruler"
MEASURES = {
    "val_accuracy": "validation accuracy",
    "weight_distance": "distance in weights",
    "balanced_distance": "distance in the balanced gauge",
    "js_divergence": "Jensen-Shannon divergence",
}


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw one line per push."""
    named = with_pushes(records)
    lines = {str(push): rows for push, rows in named.groupby("push", sort=False)}
    return drift(lines, "Away from the checkpoint by a kernel of the distance in several rulers", MEASURES)
