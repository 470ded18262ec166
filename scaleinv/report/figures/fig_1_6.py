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
    products = (records["w1"] * records["w2"]).round(6)
    # The arrows stand on the lines: products of the grid's points that have many factors, not too close to each other.
    lines: list[float] = []
    counts = products.value_counts().sort_index()
    for product in counts.index[counts >= 4].to_numpy(dtype=float):
        if not lines or product > 1.3 * lines[-1]:
            lines.append(float(product))
    for product in lines:
        w2 = product / w1
        shown = (w2 <= records["w2"].max()) & (w2 >= records["w2"].min())
        ax.plot(w1[shown], w2[shown], color=BLUE, linewidth=0.8)
    on = records[products.isin(lines)]
    ax.quiver(
        on["w1"], on["w2"], -on["gw1"], -on["gw2"],
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
    return Drawing(figure, on[["w1", "w2", "gw1", "gw2"]], caption)
