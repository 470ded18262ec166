"""SGD and G-SGD through a long training with a decaying learning rate, as in a public record of G-SGD."""

import numpy as np
import pandas as pd

from scaleinv.report.figures.curves import BAND, DATASETS, describe_n, legend_below
from scaleinv.report.figures.methods import method_styles
from scaleinv.report.figures.style import PAGE, Drawing, Series, loss_axis, panels, plot_seeds, styled
from scaleinv.report.methods import refuse_several, with_methods

EXPERIMENT = "public_record"
MEASURES = {
    "train_loss": "training loss",
    "val_loss": "validation loss",
    "train_accuracy": "training accuracy",
    "val_accuracy": "validation accuracy",
}


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw four panels against the epoch: loss and accuracy, in training and in validation."""
    refuse_several(records, "dataset")
    refuse_several(records, "lr")
    named = with_methods(records)
    figure, axes = panels(2, 2, PAGE + 1, 4.8)
    styles, tables = method_styles(named["method"]), []
    for ax, (measure, words) in zip(axes, MEASURES.items(), strict=True):
        for method, how in styles.items():
            part = named[(named["method"] == method) & named[measure].notna()].copy()
            if measure.endswith("_loss"):
                part.loc[part["status"] == "diverged", measure] = np.inf
            seeds = plot_seeds(ax, part, Series(method, {**how.style, "marker": ""}), "epoch", measure)
            tables.append(seeds.assign(method=method, measure=measure))
        shown = pd.concat([one for one in tables if one["measure"].iloc[0] == measure])
        if measure.endswith("_loss"):
            loss_axis(ax, shown[["low", "high"]].melt()["value"])
        else:  # from the first epoch's accuracy: an axis from that of chance would hide the difference
            trained = shown.loc[shown["epoch"] > 0, ["low", "high"]].melt()["value"]
            room = 0.05 * (trained.max() - trained.min())
            ax.set_ylim(trained.min() - room, trained.max() + room)
        ax.set_xlabel("epoch")
        ax.set_ylabel(words)
    legend_below(figure, axes[:1])
    name = records["dataset"].iloc[0]
    caption = (
        f"{DATASETS.get(name, name)}, learning rate {named['lr'].iloc[0]:g} exp(-0.01 epoch), batches of"
        f" {named['batch_size'].iloc[0]}, pixels normalised by their mean and deviation. Training numbers are means"
        f" over the batches of an epoch, each before its step. {describe_n(named)}. {BAND}."
    )
    return Drawing(figure, pd.concat(tables, ignore_index=True), caption)
