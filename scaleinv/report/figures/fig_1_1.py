"""ReLU and LeakyReLU (thesis, figure 1.1)."""

import pandas as pd

from scaleinv.report.figures.style import BLUE, PAGE, Drawing, panels, styled
from scaleinv.report.methods import refuse_differences

EXPERIMENT = "fig_1_1"


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the output of ``y = relu(w_1)``, one panel per slope."""
    refuse_differences(records, ["network.negative_slope"])
    slopes = sorted(set(records["slope"]))
    figure, axes = panels(len(slopes), width=PAGE, height=2.2)
    for ax, slope in zip(axes, slopes, strict=True):
        line = records[records["slope"] == slope].sort_values("w1")
        ax.axhline(0, color="0.8", linewidth=0.6)
        ax.axvline(0, color="0.8", linewidth=0.6)
        ax.plot(line["w1"], line["output"], color=BLUE, linewidth=1.6)
        ax.set_ylim(-0.6, 3)
        ax.set_xlabel("x")
        ax.set_ylabel("y")
        ax.set_title("ReLU: max(0, x)" if slope == 0 else f"LeakyReLU: max({slope:g} x, x)")
    return Drawing(figure, records[["slope", "w1", "output"]], "ReLU and LeakyReLU, as the networks compute them.")
