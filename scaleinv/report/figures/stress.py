"""Best loss and width of the good range of learning rates, from more and more unbalanced starts."""

import numpy as np
import pandas as pd

from scaleinv.report.effects.rates import good_decades, good_level, own_best
from scaleinv.report.figures.curves import DATASETS, describe_n, legend_below, worst_shown
from scaleinv.report.figures.methods import method_styles
from scaleinv.report.figures.style import PAGE, Drawing, loss_axis, mark_diverged, panels, styled
from scaleinv.report.members import best_epochs, best_lr
from scaleinv.report.methods import refuse_several, with_methods

EXPERIMENT = "stress"


def by_sigma(records: pd.DataFrame) -> pd.DataFrame:
    """Return per method and sigma the best loss, its range over seeds, and the width of the good range in decades.

    A learning rate is good if its loss is at most twice the method's own best for that start, and below chance by more
    than 5 %; the width is the mean over seeds, measured on the interpolated curve.
    """
    refuse_several(records, "dataset")
    named = with_methods(records, ["start.sigma"])
    by, chance = ["method", "start.sigma"], float(records.loc[records["epoch"] == 0, "val_loss"].median())
    best = best_epochs(named, "val_loss", by)
    lows = best_lr(best, by)
    picked = best.merge(lows[[*by, "lr"]], on=[*by, "lr"])
    spread = picked.groupby(by)["val_loss"].agg(median="median", low="min", high="max", n="size").reset_index()
    spread["diverged"] = picked.groupby(by)["val_loss"].agg(lambda losses: int(np.isinf(losses).sum())).to_numpy()
    widths = []
    for (method, sigma), own in best.groupby(by):
        grid = own.pivot(index="seed", columns="lr", values="val_loss")
        level = good_level(own_best(grid), 1.0).clip(upper=0.95 * chance)
        width = good_decades(grid, level, chance)
        widths.append((method, sigma, width.mean(), width.min(), width.max()))
    decades = pd.DataFrame(widths, columns=[*by, "decades", "decades_low", "decades_high"])
    return lows.drop(columns="val_loss").merge(spread, on=by).merge(decades, on=by)


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw best loss and good range against sigma, one line per method."""
    table = by_sigma(records)
    figure, (left, right) = panels(2, width=PAGE + 1, height=3.4)
    for method, how in method_styles(table["method"]).items():
        own = table[table["method"] == method].sort_values("start.sigma")
        color, at = how.style["color"], own["start.sigma"]
        shown = own.where(np.isfinite(own[["median", "high"]]), np.nan)
        left.plot(at, shown["median"], label=how.label, **how.style)
        left.fill_between(at, own["low"], shown["high"], color=color, alpha=0.1, linewidth=0)
        mark_diverged(left, own.set_index("start.sigma")["diverged"], how)
        right.plot(at, own["decades"], label=how.label, **how.style)
        right.fill_between(at, own["decades_low"], own["decades_high"], color=color, alpha=0.1, linewidth=0)
    loss_axis(left, table[["low", "median"]].melt()["value"], worst_shown(records))
    left.set_ylabel("best validation loss")
    right.set_ylabel("good learning rates (decades)")
    for ax in (left, right):
        ax.set_xlabel("spread sigma of the log rescaling at the start")
    legend_below(figure, [left], 3)
    caption = (
        "From the same networks, rescaled at random by exp(sigma N), rounded to powers of two, in every hidden"
        " node: best validation loss (median at the best learning rate, band: range over seeds; crosses: diverged seeds"
        " at that rate, with their number) and decades of learning rates within twice the own best loss (mean over"
        " seeds, band: range; 0 where nothing is learned at any rate)."
        f" {DATASETS.get(records['dataset'].iloc[0], '')}; {describe_n(records)}."
    )
    return Drawing(figure, table, caption)
