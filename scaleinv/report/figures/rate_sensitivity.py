"""Sensitivity to the learning rate and width of the good range, by method, with intervals."""

from pathlib import Path

import numpy as np
import pandas as pd

from scaleinv.report.effects.intervals import estimate_mean
from scaleinv.report.effects.rates import common_best, good_decades, good_level, own_best, sensitivity
from scaleinv.report.figures._studies import MAIN, inputs_of, shared_datasets
from scaleinv.report.figures.curves import DATASETS
from scaleinv.report.figures.methods import method_series
from scaleinv.report.figures.style import PAGE, Drawing, panels, styled
from scaleinv.report.studies import Study

QUANTITIES = ("sensitivity", "decades, 2 x common best", "decades, 2 x own best")


def by_seed(study: Study, dataset: str) -> dict[tuple[str, str], pd.Series]:
    """Return (quantity, method) -> one number per seed, on the learning rates that all methods share."""
    chance = study.chance("fig_4_4", dataset)
    grids = {method: study.losses(name, method, dataset) for method, name in MAIN.items()}
    best = common_best(*grids.values())
    numbers: dict[tuple[str, str], pd.Series] = {}
    for method, grid in grids.items():
        numbers[QUANTITIES[0], method] = sensitivity(grid, chance, "cells")
        for quantity, whose in zip(QUANTITIES[1:], (best, own_best(grid)), strict=True):
            numbers[quantity, method] = good_decades(grid, good_level(whose, 1.0), chance)
    return numbers


@styled
def draw(study: Study) -> Drawing:
    """Draw one column per quantity, one row per data set."""
    names = shared_datasets(study)
    figure, axes = panels(len(QUANTITIES), len(names), PAGE + 1, 1.5 * len(names) + 0.3)
    rows = []
    for i, name in enumerate(names):
        numbers = by_seed(study, name)
        for j, quantity in enumerate(QUANTITIES):
            ax = axes[i * len(QUANTITIES) + j]
            for k, method in enumerate(MAIN):
                how, values = method_series(method), numbers[quantity, method]
                estimate = estimate_mean(values.to_numpy(dtype=float))
                ax.plot(values, np.full(len(values), k), "|", color=how.style["color"], alpha=0.5)
                ax.plot([estimate.low, estimate.high], [k, k], color=how.style["color"])
                ax.plot([estimate.value], [k], color=how.style["color"], marker=how.style["marker"])
                ends = {"value": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}
                rows.append({"dataset": name, "quantity": quantity, "method": method} | ends)
            ax.set_yticks(range(len(MAIN)), list(MAIN), fontsize=6)
            ax.set_ylim(len(MAIN) - 0.5, -0.5)
            ax.set_title(f"{DATASETS.get(name, name)}: {quantity}", fontsize=6)
    caption = (
        "Sensitivity to the learning rate (mean over the grid of min(loss, loss of chance), minus the own best loss;"
        " lower is less sensitive), and width of the range of good learning rates: rates with at most twice the best"
        " loss of all methods, or of the method itself, which favours bad methods. Point and line: mean with 95 %"
        " interval (Student's t); ticks: seeds."
    )
    return Drawing(figure, pd.DataFrame(rows), caption, latex=True)


def draw_study(folder: Path) -> tuple[Drawing, list[Path]]:
    """Draw the records of a study."""
    return draw(Study(folder)), inputs_of(folder, list(dict.fromkeys(MAIN.values())))
