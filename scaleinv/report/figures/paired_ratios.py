"""G-SGD and Fixed SGD against SGD at every learning rate: ratios of losses, seed by seed."""

from pathlib import Path

import numpy as np
import pandas as pd

from scaleinv.report.comparisons import FIXED_SGD, G_SGD, SGD
from scaleinv.report.figures._studies import MAIN, inputs_of, shared_datasets
from scaleinv.report.figures.curves import DATASETS, legend_below
from scaleinv.report.figures.methods import method_series
from scaleinv.report.figures.style import PAGE, Drawing, log_lr_axis, panels, styled
from scaleinv.report.studies import Study


@styled
def draw(study: Study) -> Drawing:
    """Draw one panel per data set: geometric mean and single seeds; a diverged one counts with the loss of chance."""
    names = shared_datasets(study)
    figure, axes = panels(len(names), width=PAGE + 1 if len(names) > 1 else 4.6, height=3.2)
    tables = []
    for ax, name in zip(axes, names, strict=True):
        chance = study.chance("fig_4_4", name)
        plain = study.losses(MAIN[SGD], SGD, name).clip(upper=chance)
        for method in (G_SGD, FIXED_SGD):
            how = method_series(method)
            logs = (study.losses(MAIN[method], method, name).clip(upper=chance) / plain).dropna().apply(np.log)
            ax.plot(logs.columns, np.exp(logs.to_numpy().T), color=how.style["color"], linewidth=0.4, alpha=0.4)
            mean = np.exp(logs.mean().to_numpy())
            ax.plot(logs.columns, mean, label=how.label, **how.style)
            rows = {"dataset": name, "method": method, "lr": logs.columns, "ratio": mean, "n": len(logs)}
            tables.append(pd.DataFrame(rows))
        ax.axhline(1, color="0.6", linewidth=0.6)
        log_lr_axis(ax)
        ax.set_yscale("log")
        low, high = ax.get_ylim()
        ticks = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20] if high > 3 * low else [0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.4, 1.6]
        shown = [tick for tick in ticks if low <= tick <= high]
        ax.set_yticks(shown, [f"{tick:g}" for tick in shown])
        ax.yaxis.minorticks_off()
        ax.set_ylabel(f"loss over that of {SGD}")
        ax.set_title(f"{DATASETS.get(name, name)}, {study.epochs('memory', name)} epochs")
    legend_below(figure, axes[:1])
    counted = ", ".join(sorted({str(table["n"].iloc[0]) for table in tables}))
    caption = (
        "Best validation loss over that of SGD in weight space with the same seed and learning rate; line: geometric"
        " mean, faint lines: seeds; losses above that of chance count as it. Below 1 the method is better at that rate;"
        f" at its own best rate it need not be. n = {counted} seeds."
    )
    return Drawing(figure, pd.concat(tables, ignore_index=True), caption, latex=True)


def draw_study(folder: Path) -> tuple[Drawing, list[Path]]:
    """Draw the records of a study."""
    return draw(Study(folder)), inputs_of(folder, list(dict.fromkeys(MAIN.values())))
