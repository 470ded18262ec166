"""Networks drawn as nodes and edges. Helper of figures."""

from collections.abc import Collection, Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from scaleinv.report.figures.style import PAGE, Drawing, panels
from scaleinv.report.methods import refuse_several

# Settings of the run that the table of such a figure lists beside the weights.
SETTINGS = (
    *("experiment", "run", "space.fix", "space.skeleton", "space.normalise", "optimizer.memory"),
    *("optimizer.momentum", "start.name", "start.sigma", "dataset.split", "epochs"),
)


def network_figure(
    records: pd.DataFrame, kinds: Mapping[str, tuple[str, str]], quiet: Collection[str], caption: str
) -> Drawing:
    """Draw one network per panel, its weights coloured by their kind in the space's chart.

    Args:
        records: records of the task ``skeleton_map``.
        kinds: colour and label of each kind of weight.
        quiet: kinds that are drawn thin and below the others.
        caption: caption of the figure.
    """
    refuse_several(records, "run")
    names = list(dict.fromkeys(records["network"]))
    figure, axes = panels(len(names), width=PAGE + 0.5, height=2.6)
    colors = {kind: color for kind, (color, _) in kinds.items()}
    for ax, name in zip(axes, names, strict=True):
        draw_network(ax, records[records["network"] == name], colors, quiet)
        ax.set_title(name)
    labels = dict(kinds.values())
    handles = [Line2D([], [], color=color, linewidth=1.6, label=label) for color, label in labels.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    columns = [*SETTINGS, *list(records)[list(records).index("configuration") + 1 :]]
    return Drawing(figure, records.reindex(columns=columns), caption)


def draw_network(ax: Axes, weights: pd.DataFrame, colors: Mapping[str, str], quiet: Collection[str]) -> None:
    """Draw every weight of a network as a line from its tail to its head.

    Args:
        ax: axes to draw on.
        weights: one row per weight, with ``layer``, ``head``, ``tail`` and ``kind``.
        colors: colour of each kind.
        quiet: kinds that are drawn thin and below the others.
    """
    layers = int(weights["layer"].max())
    sizes = [int(weights.loc[weights["layer"] == 1, "tail"].max()) + 1]
    sizes += [int(weights.loc[weights["layer"] == layer, "head"].max()) + 1 for layer in range(1, layers + 1)]
    tallest = max(sizes)

    def height(layer: int, node: int) -> float:
        return (tallest - sizes[layer]) / 2 + node

    for layer, head, tail, kind in weights[["layer", "head", "tail", "kind"]].to_numpy().tolist():
        is_quiet = kind in quiet
        ax.plot(
            [layer - 1, layer],
            [height(layer - 1, tail), height(layer, head)],
            color=colors[kind],
            linewidth=0.5 if is_quiet else 1.6,
            zorder=1 if is_quiet else 2,
        )
    for layer, size in enumerate(sizes):
        ax.plot(
            [layer] * size, [height(layer, node) for node in range(size)], linestyle="", marker="o",
            color="black", markerfacecolor="white", markersize=7, zorder=3,
        )  # fmt: skip
    ax.invert_yaxis()
    ax.set_axis_off()
