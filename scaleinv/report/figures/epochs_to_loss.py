"""Epochs until half, and nine tenths, of what can be learned is learned, at every learning rate."""

from pathlib import Path

import numpy as np
import pandas as pd

from scaleinv.report.effects.speed import epochs_to, restricted
from scaleinv.report.figures._studies import MAIN, inputs_of, shared_datasets
from scaleinv.report.figures.curves import DATASETS, legend_below
from scaleinv.report.figures.methods import method_series
from scaleinv.report.figures.style import PAGE, Drawing, log_lr_axis, panels, styled
from scaleinv.report.studies import Study

SHARES = (0.5, 0.9)


@styled
def draw(study: Study) -> Drawing:
    """Draw one row per share, one column per data set."""
    names = shared_datasets(study)
    figure, axes = panels(len(names), len(SHARES), PAGE + 1 if len(names) > 1 else 4.6, 4.6)
    rows = []
    for j, name in enumerate(names):
        chance = study.chance("fig_4_4", name)
        lowest = min(study.lowest(experiment, name) for experiment in dict.fromkeys(MAIN.values()))
        horizon = study.epochs("fig_4_4", name)
        for i, share in enumerate(SHARES):
            ax, level = axes[i * len(names) + j], chance - share * (chance - lowest)
            for method, experiment in MAIN.items():
                how, losses = method_series(method), study.losses(experiment, method, name)
                means = []
                for lr in losses.columns:
                    curves = study.curves(experiment, method, name, pd.Series(lr, losses.index))
                    times = epochs_to(curves, level)
                    reached, mean = int(np.isfinite(times).sum()), float(restricted(times, horizon).mean())
                    means.append(mean)
                    key = {"dataset": name, "share": share, "loss": level, "method": method, "lr": lr}
                    rows.append(key | {"epochs": mean, "reached": reached, "n": len(times)})
                    ax.plot(np.full(reached, lr), times[np.isfinite(times)], "_", color=how.style["color"], alpha=0.4)
                    if reached < len(times):
                        ax.plot([lr], [mean], marker="o", markersize=8, markerfacecolor="none", markeredgewidth=0.5,
                                color=how.style["color"])  # fmt: skip
                ax.plot(losses.columns, means, label=how.label, **how.style)
            log_lr_axis(ax)
            ax.set_ylim(0, 1.04 * horizon)
            ax.set_ylabel("epochs")
            ax.set_title(f"{DATASETS.get(name, name)}: loss {level:.3g} ({100 * share:g} % learned)")
    legend_below(figure, axes[:1], 3)
    caption = (
        "Epochs until the validation loss falls to a level at which a share of (loss of chance - best loss of any"
        " method) is learned, against the learning rate: mean over seeds, one that does not reach it counting with all"
        " epochs (restricted mean); dashes: seeds that reach it; rings: some seeds do not."
    )
    return Drawing(figure, pd.DataFrame(rows), caption, latex=True)


def draw_study(folder: Path) -> tuple[Drawing, list[Path]]:
    """Draw the records of a study."""
    return draw(Study(folder)), inputs_of(folder, list(dict.fromkeys(MAIN.values())))
