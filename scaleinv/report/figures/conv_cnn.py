"""SGD on convolutional networks in four spaces, from the drawn weights and from an overwritten skeleton."""

import pandas as pd

from scaleinv.report.figures.curves import BAND, DATASETS, STAR, describe_n, legend_below, lr_curves
from scaleinv.report.figures.methods import method_styles
from scaleinv.report.figures.style import PAGE, Drawing, panels, styled
from scaleinv.report.methods import refuse_several, with_methods

EXPERIMENT = "conv_cnn"
STARTS = {"default": "drawn weights", "overwritten": "skeleton overwritten with 1"}
NETWORKS = {"lenet": "LeNet-5", "cnn": "small CNN"}


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the loss against the learning rate: one column per network, one row per start."""
    refuse_several(records, "dataset")
    named = with_methods(records, ["network.name", "start.name"])
    networks = list(dict.fromkeys(named["network.name"]))
    figure, axes = panels(len(networks), len(STARTS), PAGE + 1 if len(networks) > 1 else 4.6, 5.2)
    styles, tables = method_styles(named["method"]), []
    for i, (start, words) in enumerate(STARTS.items()):
        for j, network in enumerate(networks):
            ax = axes[i * len(networks) + j]
            own = named[(named["network.name"] == network) & (named["start.name"] == start)]
            tables.append(lr_curves(ax, own, styles=styles).assign(network=network, start=start))
            ax.set_title(f"{NETWORKS.get(network, network)}, {words}")
    legend_below(figure, axes, 4)
    name = records["dataset"].iloc[0]
    caption = (
        "Best validation loss against the learning rate of SGD in weight space, G-space, fixed-weight space and cycle"
        " space. G-space as published overwrites the skeleton itself, from either start."
        f" {DATASETS.get(name, name)}; {describe_n(named)}. {BAND}; {STAR}."
    )
    return Drawing(figure, pd.concat(tables, ignore_index=True), caption)
