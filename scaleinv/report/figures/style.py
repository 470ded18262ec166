"""The style of all figures, and how they are saved: bit-identical every time, with their numbers beside them."""

import hashlib
import io
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from scaleinv.report.latex import latex_table
from scaleinv.report.output import refuse_foreign
from scaleinv.runs.folder import write_atomically

COLUMN, PAGE = 3.25, 5.5  # widths in inches
# Okabe and Ito's colours, which stay apart for colour-blind readers.
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PURPLE = (
    *("#000000", "#E69F00", "#56B4E9", "#009E73"),
    *("#F0E442", "#0072B2", "#D55E00", "#CC79A7"),
)

_RC: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "legend.frameon": False,
    "legend.handlelength": 3.0,
    "pdf.fonttype": 42,
    "savefig.dpi": 200,
    "figure.constrained_layout.use": True,
    "svg.hashsalt": "scaleinv",
}


@dataclass(frozen=True)
class Drawing:
    """A figure with its numbers and caption.

    Attributes:
        figure: the picture.
        table: the plotted numbers.
        caption: what is shown, with n and the meaning of lines and bands.
        latex: whether the numbers are few enough for a table in a paper, which is then written too.
        column: the same at the width of a column; None lays ``figure`` out again (:func:`to_column`).
    """

    figure: Figure
    table: pd.DataFrame
    caption: str
    latex: bool = False
    column: Figure | None = None


@dataclass(frozen=True)
class Series:
    """Label and style of one line.

    Attributes:
        label: text in the legend.
        style: keyword arguments of ``plot``.
    """

    label: str
    style: dict[str, Any] = field(default_factory=dict)


def styled(draw: Callable[..., Drawing]) -> Callable[..., Drawing]:
    """Run a drawing function under the project's style, independently of the user's matplotlibrc."""

    def wrapped(*args: Any, **kwargs: Any) -> Drawing:
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(_RC)
            return draw(*args, **kwargs)

    wrapped.__doc__, wrapped.__name__ = draw.__doc__, draw.__name__
    return wrapped


def panels(columns: int, rows: int = 1, width: float = PAGE, height: float | None = None) -> tuple[Figure, list[Axes]]:
    """Make a figure with a row-major list of axes."""
    figure = Figure(figsize=(width, height or rows * (2.3 if columns > 1 else 2.6)))
    grid = figure.subplots(rows, columns, squeeze=False)
    return figure, list(grid.flat)


def log_lr_axis(ax: Axes) -> None:
    """Make the x axis a learning-rate axis."""
    ax.set_xscale("log")
    ax.set_xlabel("learning rate")
    ax.xaxis.set_major_locator(LogLocator(numticks=12))
    ax.xaxis.set_minor_formatter(NullFormatter())


def loss_axis(ax: Axes, losses: pd.Series, top: float = np.inf) -> None:
    """Make the y axis a logarithmic loss axis that shows all finite ``losses`` up to ``top``."""
    shown = losses[np.isfinite(losses)]
    low, high = shown.min(), min(shown.max(), top)
    high *= max(high / low, 1.0) ** (0.07 * len(_rows_of_marks(ax)))  # room for the marks of diverged members
    ax.set_yscale("log")
    ax.set_ylim(low / 1.08, max(high, 1.01 * low) * 1.08)
    subs = (1, 2, 5) if high > 4 * low else (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)
    ax.yaxis.set_major_locator(LogLocator(subs=subs))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_locator(NullLocator())


def plot_seeds(ax: Axes, seeds: pd.DataFrame, how: Series, x: str, y: str) -> pd.DataFrame:
    """Draw the median over seeds, every seed as a faint line, the range as a band; mark diverged members at the top.

    Args:
        ax: axes to draw on.
        seeds: one row per seed and x, with columns ``x``, ``y``; infinite where a member diverged.
        how: label and style, e.g. from :func:`scaleinv.report.figures.methods.method_series`.
        x: name of the column for the x axis.
        y: name of the column for the y axis.

    Returns:
        One row per x: median, lowest and highest value, number of seeds, and number of diverged members.
    """
    summary = seeds.groupby(x)[y].agg(
        median="median", low="min", high="max", n="size", diverged=lambda v: int(np.isinf(v).sum())
    )
    finite = summary[np.isfinite(summary["median"])]
    if "seed" in seeds:
        for _, one in seeds.assign(**{y: seeds[y].where(np.isfinite(seeds[y]))}).groupby("seed"):
            one = one.sort_values(x)
            ax.plot(one[x], one[y], color=how.style["color"], linewidth=0.4, alpha=0.35)
    # Where the median is infinite the line is interrupted: it must not lead through a rate at which all diverged.
    shown = summary.where(np.isfinite(summary[["median", "high"]]), np.nan)
    ax.fill_between(summary.index, finite["low"].reindex(summary.index), shown["high"], color=how.style["color"],
                    alpha=0.15, linewidth=0)  # fmt: skip
    ax.plot(summary.index, shown["median"], label=how.label, **how.style)
    mark_diverged(ax, summary["diverged"], how)
    return summary.reset_index()


def mark_diverged(ax: Axes, counts: pd.Series, how: Series) -> None:
    """Write the number of diverged members beside a cross in the top of the axes, each method in a row of its own."""
    height = 0.97 - 0.06 * len(_rows_of_marks(ax))
    marked = counts[counts > 0]
    for position, count in zip(marked.index.to_numpy(dtype=float), marked, strict=True):
        place: dict[str, Any] = {"transform": ax.get_xaxis_transform(), "color": how.style["color"]}
        ax.plot([position], [height], marker="x", markersize=3, **place)
        ax.annotate(
            f"{count:.0f}",
            (position, height),
            xycoords=ax.get_xaxis_transform(),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=5.5,
            color=how.style["color"],
            gid=f"diverged {how.label}",
        )


def _rows_of_marks(ax: Axes) -> set[str]:
    """Return the names of the rows that :func:`mark_diverged` has drawn."""
    return {name for text in ax.texts if (name := str(text.get_gid())).startswith("diverged ")}


def save(drawing: Drawing, stem: Path, inputs: Sequence[Path] = (), command: str = "") -> list[Path]:
    """Write ``stem.pdf``, ``.png``, ``.csv`` (the plotted numbers) and ``.json`` (caption, inputs, command).

    Beside them stand ``stem_column.pdf``, the same at the width of a column (:func:`to_column`), and for a drawing with
    ``latex`` also ``stem.tex``, a table of the plotted numbers for the package booktabs.

    No file holds a date, so that drawing twice gives the same bytes.

    Args:
        drawing: what to save.
        stem: path without ending.
        inputs: files that the numbers came from; their checksums are saved.
        command: command that draws the figure.

    Returns:
        The paths of the files.

    Raises:
        ForeignError: a file with one of these names exists and was not written by this function.
    """
    endings = [".pdf", ".png", ".csv", ".json", "_column.pdf", *([".tex"] if drawing.latex else [])]
    files = [stem.with_name(stem.name + ending) for ending in endings]
    for path in files:
        refuse_foreign(path, is_ours=lambda _: _is_drawn(files[3]))
    checksums = {f"{p.parent.name}/{p.name}": hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(inputs)}
    caption_file = {"caption": drawing.caption, "command": command, "inputs": checksums}
    pdf, png, column = io.BytesIO(), io.BytesIO(), io.BytesIO()
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        undated = {"CreationDate": None, "Producer": None, "Creator": None}
        drawing.figure.savefig(pdf, format="pdf", metadata=undated)
        drawing.figure.savefig(png, format="png", metadata={"Software": None})
        if drawing.column is None:
            to_column(drawing.figure)
        _save_fitting(drawing.column or drawing.figure, column, undated)
    table = drawing.table.to_csv(index=False, float_format="%.9g", lineterminator="\n")
    account = json.dumps(caption_file, indent=2, ensure_ascii=False) + "\n"
    contents = [pdf.getvalue(), png.getvalue(), table.encode(), account.encode(), column.getvalue()]
    contents += [latex_table(drawing.table).encode()] if drawing.latex else []
    stem.parent.mkdir(parents=True, exist_ok=True)
    # The .json is written first: if the power fails in between, it still identifies the other files as ours.
    for path, content in sorted(zip(files, contents, strict=True), key=lambda pair: pair[0].suffix != ".json"):
        write_atomically(path, content)
    return files


def _save_fitting(figure: Figure, out: io.BytesIO, metadata: dict[str, None]) -> None:
    """Save as PDF; where the panels do not fit beside their labels, at 1.5 or 2 times the size, to be scaled down."""
    size = figure.get_size_inches()
    for factor in (1.0, 1.5, 2.0):
        figure.set_size_inches(*(factor * size))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            figure.savefig(out, format="pdf", metadata=metadata)
        if not any("constrained_layout" in str(warning.message) for warning in caught):
            return
        out.seek(0)
        out.truncate()
    figure.savefig(out, format="pdf", metadata=metadata)


def to_column(figure: Figure) -> None:
    """Lay a figure out again at the width of a column, with letters of the same size.

    Up to six panels are stacked; of more, each stays in its row and column and shrinks. Legends get as many columns as
    fit.
    """
    axes = [ax for ax in figure.axes if ax.get_subplotspec() is not None]
    width, height = figure.get_size_inches()
    specs = [spec for ax in axes if (spec := ax.get_subplotspec()) is not None]
    rows, columns = specs[0].get_gridspec().get_geometry() if specs else (1, 1)
    if columns > 1 and len(axes) <= 6:
        grid, panel = GridSpec(len(axes), 1, figure), COLUMN * height * columns / (rows * width)
        for i, ax in enumerate(axes):
            ax.set_subplotspec(grid[i, 0])
        height = min(max(0.7 * panel, 1.5), 2.4) * len(axes) + (0.3 if figure.legends else 0)
    elif width > COLUMN:
        height *= max(COLUMN / width, 0.75)
    figure.set_size_inches(COLUMN, height)
    for legend in list(figure.legends):
        handles, labels = legend.legend_handles, [text.get_text() for text in legend.get_texts()]
        legend.remove()
        longest = max(len(label) for label in labels)
        kept = [handle for handle in handles if handle is not None]
        figure.legend(kept, labels, loc="outside lower center", ncols=max(1, int(58 / (longest + 9))), fontsize=6)


def _is_drawn(account: Path) -> bool:
    """Whether a file is the ``.json`` of a drawing."""
    try:
        return set(json.loads(account.read_text())) == {"caption", "command", "inputs"}
    except (OSError, ValueError, TypeError):
        return False
