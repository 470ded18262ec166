"""Ordinary and extrinsic networks on the board: accuracy, and the extrinsic projection of every layer."""

import pandas as pd

from scaleinv.report.figures.style import BLUE, GREEN, ORANGE, PAGE, PURPLE, Drawing, panels, styled

EXPERIMENT = "boards"
CLASSES = (BLUE, ORANGE, GREEN, PURPLE)


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the accuracies in the first panel, then the points of each network after each layer, one row a network."""
    scored = records[records["part"] == "accuracy"]
    shown = records[records["part"] == "points"]
    names = list(dict.fromkeys(shown["network"]))
    layers = int(shown["layer"].max()) + 1
    figure, axes = panels(layers, rows=len(names) + 1, width=PAGE + 2, height=1.5 * (len(names) + 1) + 0.5)
    order = list(dict.fromkeys(scored["network"]))
    first = axes[0]
    for labels, colour in (("board", BLUE), ("stripes", ORANGE)):
        own = scored[scored["labels"] == labels]
        places = [order.index(network) + 0.1 * (labels == "stripes") for network in own["network"].tolist()]
        first.plot(own["accuracy"], places, ".", color=colour, label=labels)
    first.set_yticks(range(len(order)), order)
    first.invert_yaxis()
    first.set_xlabel("accuracy")
    first.legend()
    for ax in axes[1:layers]:
        ax.set_visible(False)
    for row, network in enumerate(names, 1):
        for layer in range(layers):
            ax = axes[row * layers + layer]
            own = shown[(shown["network"] == network) & (shown["layer"] == layer)]
            ax.set_visible(len(own) > 0)
            for label, colour in enumerate(CLASSES):
                at = own[own["label"] == label]
                ax.plot(at["x"], at["y"], ".", color=colour, markersize=1.5)
            ax.set_title(f"{network}, " + (f"layer {layer}" if layer else "points"), fontsize=6)
            ax.set_xticks([])
            ax.set_yticks([])
    seeds, steps = scored["seed"].nunique(), int(scored["steps"].iloc[0])
    caption = (
        f"Networks on a 4 x 4 board with four classes, and on the 16 stripes of the printed formula, after {steps}"
        f" steps of plain SGD; accuracy on 2000 other points, n = {seeds} seeds, diverged networks included. Below:"
        " where the extrinsic projection puts points after each layer, first seed; where there are more than two"
        " filters this view hides dimensions."
    )
    return Drawing(figure, records.dropna(axis=1, how="all").reset_index(drop=True), caption)
