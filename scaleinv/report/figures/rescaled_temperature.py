"""Does the temperature of activation patterns notice a rescaling? (P 3.2; docs/patterns.md, theorem B)."""

import pandas as pd

from scaleinv.report.figures.curves import DATASETS, describe_n, legend_below
from scaleinv.report.figures.methods import method_styles
from scaleinv.report.figures.style import PAGE, Drawing, panels, styled
from scaleinv.report.methods import refuse_several, with_methods

EXPERIMENT = "rescaled_temperature"
SIGMA, MU = "start.sigma", "sensitivity_mu"


def shifts(records: pd.DataFrame) -> pd.DataFrame:
    """Return by method, epoch, seed and sigma how far mu lies from that of the network that was not rescaled."""
    refuse_several(records, "dataset")
    named = with_methods(records, [SIGMA])
    known = named.dropna(subset=[MU])
    keys = ["method", "epoch", "seed"]
    plain = known[known[SIGMA] == known[SIGMA].min()].set_index(keys)[MU]
    shift = known[MU].to_numpy() - plain.reindex(pd.MultiIndex.from_frame(known[keys])).to_numpy()
    return known.assign(shift=shift)[[*keys, SIGMA, MU, "sensitivity_sigma", "shift"]]


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the shift of mu against sigma, before training and at the last epoch's first step."""
    table = shifts(records)
    epochs = sorted({int(table["epoch"].min()), int(table["epoch"].max())})
    figure, axes = panels(len(epochs), width=PAGE + 1, height=3.4)
    for ax, epoch in zip(axes, epochs, strict=True):
        now = table[table["epoch"] == epoch]
        for method, how in method_styles(now["method"]).items():
            seeds = now[now["method"] == method].groupby(SIGMA)["shift"].agg(["median", "min", "max"])
            ax.plot(seeds.index, seeds["median"], label=how.label, **how.style)
            ax.fill_between(seeds.index, seeds["min"], seeds["max"], color=how.style["color"], alpha=0.1, linewidth=0)
        ax.set_title("before training" if epoch == 1 else f"after {epoch - 1} epochs")
        ax.set_xlabel("spread sigma of the log rescaling at the start")
        ax.set_ylabel("shift of mu (natural log of the learning rate)")
    legend_below(figure, [axes[0]], 3)
    caption = (
        "mu is the logarithm of the learning rate at which a step changes half of the batch's activation patterns,"
        " averaged over the layers. Shown is its shift against the same network without rescaling; a method whose"
        " temperature does not notice a rescaling draws a flat line. Median and range over seeds."
        f" {DATASETS.get(records['dataset'].iloc[0], '')}; {describe_n(records)}."
    )
    return Drawing(figure, table, caption)
