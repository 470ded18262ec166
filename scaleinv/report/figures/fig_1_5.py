"""The loss of the network with one weight and of the one with two (thesis, figure 1.5)."""

import numpy as np
import pandas as pd

from scaleinv.report.figures.style import BLUE, PAGE, Drawing, panels, styled
from scaleinv.report.figures.surfaces import surface
from scaleinv.report.methods import refuse_several

EXPERIMENT = "fig_1_5"


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw ``sin(relu(w_1))`` as a line and ``sin(w_2 relu(w_1))`` as a surface."""
    refuse_several(records, "run")
    figure, (left, right) = panels(2, width=PAGE + 0.5, height=2.5)
    one = records[records["panel"] == "one parameter"].sort_values("w1")
    left.plot(one["w1"], one["loss"], color=BLUE)
    left.set_xlabel("$w_1$")
    left.set_ylabel("loss")
    left.set_title(r"one weight: $\sin(\sigma(w_1))$")
    two = records[records["panel"] == "two parameters"]
    figure.colorbar(surface(right, two, "w1", "w2"), ax=right, label="loss")
    start, end = two["w1"].max() / 16, two["w1"].max()
    for product in (1.5, 4.5, 8.0):
        for sign in (1, -1):
            w1 = np.geomspace(start, end, 200)
            w2 = sign * product / w1
            shown = np.abs(w2) <= two["w2"].max()
            right.plot(w1[shown], w2[shown], color="black", linewidth=0.6, linestyle=":")
    right.set_title(r"two weights: $\sin(w_2\,\sigma(w_1))$")
    caption = (
        "Loss sin(y) of the network with one weight and of the one with two, for the input 1. Dotted: lines on which"
        " all points compute the same function."
    )
    return Drawing(figure, records[["panel", "w1", "w2", "loss"]], caption)
