"""Weights fixed to 1 against weights fixed at their drawn values (thesis, figure 4.6)."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from scaleinv.report.figures.curves import BAND, STAR, describe_n, legend_below, lr_curves
from scaleinv.report.figures.methods import method_styles
from scaleinv.report.figures.style import PAGE, Drawing, panels, styled
from scaleinv.report.members import best_epochs, best_lr
from scaleinv.report.methods import refuse_several, with_methods

EXPERIMENT = "fig_4_6"


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the loss against the learning rate, and epoch by epoch at the best one."""
    refuse_several(records, "dataset")
    named = with_methods(records)
    figure, axes = panels(2, width=PAGE + 1, height=3.4)
    tables = [
        lr_curves(axes[0], named).assign(panel="learning rate"),
        ratios_to_weight(axes[1], named).assign(panel="ratio to weight space"),
    ]
    axes[0].set_title("best validation loss")
    axes[1].set_title("ratio to the same optimizer in weight space")
    legend_below(figure, axes[:1], 2)
    caption = (
        "Weights fixed to 1 (fixed) and where they are (fixed, kept). Left: against the learning rate. Right: loss over"
        " that of the same optimizer and seed in weight space, each at its best learning rate; line: geometric mean,"
        f" faint lines: seeds. {describe_n(named)}. {BAND}; {STAR}."
    )
    return Drawing(figure, pd.concat(tables, ignore_index=True), caption)


def ratios_to_weight(ax: Axes, named: pd.DataFrame) -> pd.DataFrame:
    """Draw each method's loss over that of the same optimizer in weight space, seed by seed, against the epoch."""
    rates = best_lr(best_epochs(named, "val_loss", ["method"]), ["method"]).set_index("method")["lr"]
    tables = []
    for method, how in method_styles(named["method"]).items():
        plain = f"{method.split(' / ')[0]} / weight"
        if method == plain or plain not in rates:
            continue
        own, base = (
            named[(named["method"] == one) & (named["lr"] == rates[one])].pivot(
                index="epoch", columns="seed", values="val_loss"
            )
            for one in (method, plain)
        )
        logs = np.log((own / base).dropna(axis=1))
        ax.plot(logs.index, np.exp(logs), color=how.style["color"], linewidth=0.4, alpha=0.35)
        mean = np.exp(logs.mean(axis=1))
        ax.plot(mean.index, mean, **{**how.style, "marker": ""})
        tables.append(pd.DataFrame({"method": method, "epoch": mean.index, "ratio": mean.to_numpy()}))
    ax.axhline(1, color="0.6", linewidth=0.6)
    ax.set_yscale("log")
    ax.set_ylim(0.5, 2)
    ax.set_yticks([0.5, 0.7, 1, 1.4, 2], ["0.5", "0.7", "1", "1.4", "2"])
    ax.yaxis.minorticks_off()
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_ylabel("ratio of validation losses")
    return pd.concat(tables, ignore_index=True)
