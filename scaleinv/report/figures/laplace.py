"""Laplace approximations of a network and of its rescalings, in weights and in charts: how well they predict."""

import pandas as pd

from scaleinv.report.figures.curves import DATASETS
from scaleinv.report.figures.style import BLUE, GREEN, ORANGE, PAGE, PURPLE, Drawing, panels, styled
from scaleinv.report.methods import refuse_differences

EXPERIMENT = "laplace"
MEASURES = {"nll": "negative log likelihood", "ece": "calibration error", "auroc": "AUROC, turned images"}
STYLES = [(BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (PURPLE, "v")]
# Coordinates and structure of the rows of the network itself.
NETWORK = "none"


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw one panel per measure: coordinates and structures along y, a colour per rescaling, the network as a line."""
    refuse_differences(records)
    posteriors = records[records["coordinates"] != NETWORK]
    rows = list(dict.fromkeys(zip(posteriors["structure"], posteriors["coordinates"], strict=True)))
    rows.sort(key=lambda row: row[0])
    table = records.groupby(["coordinates", "structure", "sigma"], sort=False)[[*MEASURES, "change"]].agg(
        ["median", "min", "max"]
    )
    table.columns = pd.Index([f"{pair[0]}_{pair[1]}" for pair in table.columns])
    table = table.reset_index()
    sigmas = sorted(set(posteriors["sigma"]))
    figure, axes = panels(len(MEASURES), width=PAGE + 2, height=0.2 * len(rows) + 1.3)
    for ax, (measure, words) in zip(axes, MEASURES.items(), strict=True):
        for i, (sigma, (color, marker)) in enumerate(zip(sigmas, STYLES, strict=False)):
            own = table[(table["sigma"] == sigma) & (table["coordinates"] != NETWORK)]
            shift = (i - (len(sigmas) - 1) / 2) * 0.25
            pairs = zip(own["structure"], own["coordinates"], strict=True)
            places = [rows.index(pair) + shift for pair in pairs]
            middle = own[f"{measure}_median"]
            ends = [middle - own[f"{measure}_min"], own[f"{measure}_max"] - middle]
            label = f"rescaled by exp({sigma:g} N)" if sigma else "as trained"
            ax.errorbar(middle, places, xerr=ends, color=color, marker=marker, linestyle="", label=label, linewidth=0.6)
        itself = table.loc[table["coordinates"] == NETWORK, f"{measure}_median"].iloc[0]
        ax.axvline(itself, color="0.5", linewidth=0.8, label="network itself")
        names = [f"{coordinates}, {structure}" for structure, coordinates in rows]
        ax.set_yticks(range(len(rows)), names if ax is axes[0] else [""] * len(rows))
        ax.invert_yaxis()
        ax.set_xlabel(words)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(sigmas) + 1)
    name = records["dataset"].iloc[0]
    caption = (
        f"Laplace approximations (GGN, precision of the prior by the evidence, probit) on {DATASETS.get(name, name)} of"
        " a network and of its rescalings, which compute the same function: full, diagonal, and full of the last layer;"
        " in the weights, in the weights of the balanced gauge, and in the coordinates of cycle space and G-space."
        f" n = {records['seed'].nunique()} seeds; points: median; bars: range. AUROC of telling test images by their"
        " confidence from the same images after a quarter turn."
    )
    return Drawing(figure, table, caption)
