"""Best loss and width of the good range of learning rates, from more and more unbalanced starts."""

import pandas as pd

from scaleinv.report.figures.curves import DATASETS, describe_n, legend_below, worst_shown
from scaleinv.report.figures.methods import method_styles
from scaleinv.report.figures.style import PAGE, Drawing, loss_axis, panels, styled
from scaleinv.report.members import best_epochs, best_lr, good_range
from scaleinv.report.methods import refuse_several, with_methods

EXPERIMENT = "stress"


def by_sigma(records: pd.DataFrame) -> pd.DataFrame:
    """Return per method and sigma the best median loss, its range over seeds, and the good range in decades."""
    refuse_several(records, "dataset")
    named = with_methods(records, ["start.sigma"])
    by = ["method", "start.sigma"]
    best = best_epochs(named, "val_loss", by)
    lows = best_lr(best, by)
    picked = best.merge(lows[[*by, "lr"]], on=[*by, "lr"])
    spread = picked.groupby(by)["val_loss"].agg(low="min", high="max", n="size").reset_index()
    decades = good_range(best, by).rename("decades").reset_index()
    return lows.merge(spread, on=by).merge(decades, on=by)


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw best loss and good range against sigma, one line per method."""
    table = by_sigma(records)
    figure, (left, right) = panels(2, width=PAGE + 1, height=3.4)
    for method, how in method_styles(table["method"]).items():
        own = table[table["method"] == method].sort_values("start.sigma")
        left.plot(own["start.sigma"], own["val_loss"], label=how.label, **how.style)
        left.fill_between(own["start.sigma"], own["low"], own["high"], color=how.style["color"], alpha=0.1, linewidth=0)
        right.plot(own["start.sigma"], own["decades"], label=how.label, **how.style)
    loss_axis(left, table[["low", "high"]].melt()["value"], worst_shown(records))
    left.set_ylabel("best validation loss")
    right.set_ylabel("good learning rates (decades)")
    for ax in (left, right):
        ax.set_xlabel("spread sigma of the log rescaling at the start")
    legend_below(figure, [left], 3)
    caption = (
        "From the same networks, rescaled at random by exp(sigma N), rounded to powers of two, in every hidden"
        " node: best validation loss (median"
        " at the best learning rate, band: range) and width of the learning rates within 10 % of it."
        f" {DATASETS.get(records['dataset'].iloc[0], '')}; {describe_n(records)}."
    )
    return Drawing(figure, table, caption)
