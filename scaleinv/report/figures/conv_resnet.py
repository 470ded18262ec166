"""SGD on a plain and a residual network in three spaces, from one start."""

import pandas as pd

from scaleinv.report.figures.curves import BAND, DATASETS, STAR, describe_n, legend_below, lr_curves
from scaleinv.report.figures.methods import method_styles
from scaleinv.report.figures.style import PAGE, Drawing, panels, styled
from scaleinv.report.methods import refuse_several, with_methods

EXPERIMENT = "conv_resnet"
NETWORKS = {"plainnet": "PlainNet", "resnet": "ResNet"}
MEASURES = {"val_loss": "best validation loss", "train_loss": "best training loss"}


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the loss against the learning rate: one column per network, validation above training."""
    refuse_several(records, "dataset")
    named = with_methods(records, ["network.name"])
    networks = list(dict.fromkeys(named["network.name"]))
    figure, axes = panels(len(networks), len(MEASURES), PAGE + 1, 5.2)
    styles, tables = method_styles(named["method"]), []
    for i, (measure, words) in enumerate(MEASURES.items()):
        for j, network in enumerate(networks):
            ax = axes[i * len(networks) + j]
            own = named[named["network.name"] == network]
            table = lr_curves(ax, own, measure, styles)
            tables.append(table.assign(network=network, measure=measure))
            ax.set_ylabel(words)
            ax.set_title(f"{NETWORKS.get(network, network)}-{own['network.depth'].iloc[0]}")
    legend_below(figure, axes, 3)
    name, norm = records["dataset"].iloc[0], records["network.norm"].iloc[0]
    caption = (
        "Best loss against the learning rate of SGD in weight space, G-space and cycle space, all from the drawn"
        f" weights with the skeleton overwritten by 1, {'with' if norm else 'without'} batch norm."
        f" {DATASETS.get(name, name)}; {describe_n(named)}. {BAND}; {STAR}."
    )
    return Drawing(figure, pd.concat(tables, ignore_index=True), caption)
