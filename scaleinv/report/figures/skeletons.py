"""All choices of a skeleton: spread of the products, round-off of rescaling by them, and whether rescaling moves it."""

from typing import Any

import pandas as pd

from scaleinv.report.figures.style import BLUE, GREEN, ORANGE, PAGE, PURPLE, Drawing, panels, styled
from scaleinv.report.methods import refuse_differences

EXPERIMENT = "skeletons"
CHOICES = {
    "default": (ORANGE, "s"),
    "hungarian": (PURPLE, "^"),
    "log_hungarian": (GREEN, "v"),
    "maxprod": (BLUE, "o"),
}
MEASURES = {
    "decades": "decades of the products |S|",
    "round_off": "change of the outputs, float32",
    "moved": "share moved by a rescaling",
}


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw one panel per measure: networks along x, a dot per draw and choice."""
    refuse_differences(records)
    networks = list(dict.fromkeys(records["network"]))
    figure, axes = panels(len(MEASURES), width=PAGE + 1.5, height=3.2)
    for ax, (measure, words) in zip(axes, MEASURES.items(), strict=True):
        for i, (choice, (color, marker)) in enumerate(CHOICES.items()):
            own = records[records["choice"] == choice]
            places = own["network"].map(networks.index) + (i - 1.5) * 0.18
            style: dict[str, Any] = {"color": color, "marker": marker, "markersize": 2.5, "linestyle": ""}
            ax.plot(places, own[measure], label=choice, **style)
        ax.set_xticks(range(len(networks)), networks, rotation=20, ha="right")
        ax.set_ylabel(words)
        if measure == "round_off":
            ax.set_yscale("log")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(CHOICES))
    caption = (
        "Every choice of a skeleton at PyTorch's initialisation: decades between the largest and the smallest product"
        " of fixed weights; change of the outputs when the network is rescaled by them in float32, relative to the"
        " largest output; share of hidden nodes with another fixed weight after a random rescaling of the network."
        f" A dot per draw, n = {records['seed'].nunique()}."
    )
    return Drawing(figure, records[["network", "choice", "seed", *MEASURES]], caption)
