"""Loss surfaces of the networks with one and with two layers, for several fixed weights (thesis, figure 4.9)."""

import pandas as pd

from scaleinv.report.figures.style import PAGE, Drawing, panels, styled
from scaleinv.report.figures.surfaces import surface
from scaleinv.report.methods import refuse_several

EXPERIMENT = "fig_4_9"


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw ``sin(relu(w_1 + w_2))``, and ``sin(w_3 relu(w_1 + w_2))`` over w_2 and w_3 for every fixed w_1."""
    refuse_several(records, "run")
    labels = list(dict.fromkeys(records["panel"]))
    figure, axes = panels(3, -(-len(labels) // 3), PAGE + 1, 4.2)
    for ax, label in zip(axes, labels, strict=False):
        points = records[records["panel"] == label]
        is_one_layer = points["w1"].nunique() > 1
        image = surface(ax, points, *(("w1", "w2") if is_one_layer else ("w3", "w2")))
        ax.set_title("network a, one layer" if is_one_layer else f"network b, ${label[0]}_{label[1]}{label[2:]}$ fixed")
    for ax in axes[len(labels) :]:
        ax.remove()
    figure.colorbar(image, ax=axes[: len(labels)], label="loss", shrink=0.7)
    caption = (
        "Loss sin(y) for inputs 1. Network a: y = relu(w1 + w2). Network b: y = w3 relu(w1 + w2), with w1 fixed at"
        " several values."
    )
    return Drawing(figure, records[["panel", "w1", "w2", "w3", "loss"]], caption)
