"""Lines of equal function, and the gradients along them (thesis, figure 1.6)."""

import numpy as np
import pandas as pd

from scaleinv.report.figures.style import BLUE, ORANGE, Drawing, panels, styled
from scaleinv.report.methods import refuse_several

EXPERIMENT = "fig_1_6"


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw lines ``w_1 w_2 = const`` with the negative gradients of ``sin(w_2 relu(w_1))``, to one scale."""
    refuse_several(records, "run")
    figure, (ax,) = panels(1, width=3.6, height=3.5)
    w1 = np.linspace(records["w1"].min(), records["w1"].max(), 400)
    for product in (0.5, 1.0, 2.0, 3.0, 4.5, 6.5, 9.0):
        w2 = product / w1
        shown = (w2 <= records["w2"].max()) & (w2 >= records["w2"].min())
        ax.plot(w1[shown], w2[shown], color=BLUE, linewidth=0.8)
    ax.quiver(
        records["w1"], records["w2"], -records["gw1"], -records["gw2"],
        color=ORANGE, angles="xy", scale_units="xy", scale=14, width=0.004,
    )  # fmt: skip
    ax.set_xlabel("$w_1$")
    ax.set_ylabel("$w_2$", rotation=0)
    ax.set_aspect("equal")
    ax.set_title(r"$\sin(w_2\,\sigma(w_1))$")
    caption = (
        "Lines: networks with two weights that compute the same function, w1 w2 = const. Arrows: steps against the"
        " gradient, all to one scale; along a line they change their length, so training is not invariant."
    )
    return Drawing(figure, records[["w1", "w2", "gw1", "gw2"]], caption)
