"""Loss against learning rate and loss against epoch, for any set of methods. Helpers of several figures."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from scaleinv.report.figures.methods import method_styles
from scaleinv.report.figures.style import PAGE, Drawing, Series, log_lr_axis, loss_axis, panels, plot_seeds
from scaleinv.report.members import best_epochs, best_lr, member_columns
from scaleinv.report.methods import with_methods

DATASETS = {"mnist": "MNIST", "cifar10": "CIFAR-10", "digits": "digits"}
BAND = (
    "Line: median over seeds; band: range; faint lines: single seeds; crosses at the top: diverged members, with"
    " their number; losses far above those of untrained networks are cut off"
)


def datasets_of(records: pd.DataFrame) -> list[str]:
    """List the data sets in a fixed order."""
    known = list(DATASETS)
    return sorted(set(records["dataset"]), key=lambda name: (known.index(name) if name in known else 99, name))


def describe_n(records: pd.DataFrame) -> str:
    """Return the numbers of seeds and epochs of the records, in words."""
    epochs = records.groupby(["dataset", "configuration"])["epoch"].max().groupby("dataset")
    budgets = ", ".join(f"{_range(counts)} on {DATASETS.get(str(name), name)}" for name, counts in epochs)
    return f"n = {describe_seeds(records)}; epochs: {budgets}"


def describe_seeds(members: pd.DataFrame) -> str:
    """Return the number of seeds per point, as a number or a range."""
    counts = members.groupby([*member_columns(members, without=["seed"]), "configuration"], dropna=False)["seed"]
    text = _range(counts.nunique())
    return f"{text} seed" if text == "1" else f"{text} seeds"


def _range(counts: pd.Series) -> str:
    low, high = int(counts.min()), int(counts.max())
    return str(high) if low == high else f"{low} to {high}"


def lr_curves(
    ax: Axes, records: pd.DataFrame, measure: str = "val_loss", styles: Mapping[str, Series] | None = None
) -> pd.DataFrame:
    """Draw the best validation loss against the learning rate, one line per method; mark each method's best.

    Args:
        ax: axes to draw on.
        records: records of one data set, from :func:`with_methods`.
        measure: the column to minimise.
        styles: style of every method of the figure, from :func:`method_styles`; None makes them from the records.

    Returns:
        The plotted numbers.
    """
    best = best_epochs(records, measure, ["method"])
    tables = []
    for method, how in (styles or method_styles(best["method"])).items():
        members = best[best["method"] == method]
        if members.empty:
            continue
        table = plot_seeds(ax, members, how, "lr", measure)
        low = best_lr(members, ["method"], measure).iloc[0]
        median = table.loc[table["lr"] == low["lr"], "median"].iloc[0]
        if np.isfinite(median):
            face = "white" if low["at_edge"] else how.style["color"]
            style = {"color": how.style["color"], "markerfacecolor": face, "markersize": 9, "linestyle": ""}
            ax.plot([low["lr"]], [median], marker="*", **style)
        tables.append(table.assign(dataset=records["dataset"].iloc[0], method=method))
    log_lr_axis(ax)
    table = pd.concat(tables, ignore_index=True)
    loss_axis(ax, table[["low", "median"]].melt()["value"], worst_shown(records))
    ax.set_ylabel("best validation loss")
    return table


def worst_shown(records: pd.DataFrame) -> float:
    """Return the largest loss that panels show: a little above the lowest median loss before training."""
    untrained = records[records["epoch"] == 0].groupby("configuration")["val_loss"].median()
    return 1.05 * float(untrained.min())


STAR = (
    "star: a method's best learning rate, by the geometric mean over seeds as in the claims, hollow if it lies at the"
    " grid's edge"
)


def epoch_curves(
    ax: Axes,
    records: pd.DataFrame,
    measure: str = "val_loss",
    lr: float | None = None,
    styles: Mapping[str, Series] | None = None,
) -> pd.DataFrame:
    """Draw a loss against the epoch, one line per method, at one learning rate or at each method's best.

    Args:
        ax: axes to draw on.
        records: records of one data set, from :func:`with_methods`.
        measure: the column to draw.
        lr: the learning rate; None takes each method's best.
        styles: as in :func:`lr_curves`.

    Returns:
        The plotted numbers.
    """
    lows = best_lr(best_epochs(records, "val_loss", ["method"]), ["method"]).set_index("method")
    tables = []
    for method, how in (styles or method_styles(records["method"])).items():
        if method not in lows.index:
            continue
        chosen = float(lows["lr"].to_dict()[method]) if lr is None else lr
        part = records[(records["method"] == method) & (records["lr"] == chosen)].copy()
        part.loc[part["status"] == "diverged", measure] = np.inf
        style = {**how.style, "marker": ""}
        label = f"{how.label}, lr {chosen:g}" if lr is None else how.label
        table = plot_seeds(ax, part, Series(label, style), "epoch", measure)
        tables.append(table.assign(dataset=records["dataset"].iloc[0], method=method, lr=chosen))
    table = pd.concat(tables, ignore_index=True)
    loss_axis(ax, table[["low", "high"]].melt()["value"], worst_shown(records))
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_ylabel("validation loss")
    return table


def lr_figure(records: pd.DataFrame, what: str, shown: Sequence[str] = ()) -> Drawing:
    """Draw :func:`lr_curves`, one panel per data set; ``what`` begins the caption, ``shown`` as in `with_methods`."""
    named = with_methods(records, shown)
    names = datasets_of(named)
    figure, axes = panels(len(names), width=PAGE + 1 if len(names) > 1 else 4.6, height=3.4)
    tables = []
    styles = method_styles(named["method"])
    for ax, name in zip(axes, names, strict=True):
        tables.append(lr_curves(ax, named[named["dataset"] == name], styles=styles))
        ax.set_title(DATASETS.get(name, name))
    legend_below(figure, axes)
    return Drawing(figure, pd.concat(tables, ignore_index=True), f"{what} {describe_n(named)}. {BAND}; {STAR}.")


def epoch_figure(records: pd.DataFrame, what: str, lrs: Sequence[float] | None = None) -> Drawing:
    """Draw :func:`epoch_curves`: one panel per data set at each method's best rate, or one panel per learning rate."""
    named = with_methods(records)
    names = datasets_of(named)
    shown = [(name, None) for name in names] if lrs is None else [(names[0], lr) for lr in lrs]
    figure, axes = panels(len(shown), width=PAGE + 1 if len(shown) > 1 else 4.6, height=3.6)
    tables = []
    styles = method_styles(named["method"])
    for ax, (name, lr) in zip(axes, shown, strict=True):
        tables.append(epoch_curves(ax, named[named["dataset"] == name], lr=lr, styles=styles))
        ax.set_title(DATASETS.get(name, name) + ("" if lr is None else f", learning rate {lr:g}"))
        if lr is None:
            ax.legend(fontsize=5.5)
    if lrs is not None:
        legend_below(figure, axes)
    return Drawing(figure, pd.concat(tables, ignore_index=True), f"{what} {describe_n(named)}. {BAND}.")


def legend_below(figure: Figure, axes: Sequence[Axes], columns: int = 2) -> None:
    """Put one legend for all panels below the panels."""
    handles: dict[str, Artist] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=columns)
