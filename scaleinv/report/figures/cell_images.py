"""Pictures of cells in the plane (P, figures 2.4, 2.6, 2.8 and 2.9)."""

import matplotlib as mpl
import pandas as pd
from matplotlib.collections import PolyCollection

from scaleinv.report.figures.style import PAGE, Drawing, panels, styled
from scaleinv.report.methods import refuse_several

EXPERIMENT = "cell_images"


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw one panel per network, every polygon in the colour of its layer's pattern."""
    refuse_several(records, "run")
    names = list(dict.fromkeys(records["panel"]))
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure, axes = panels(columns, rows, PAGE + 1, 1.9 * rows)
    palette = mpl.colormaps["tab20"].colors  # type: ignore[attr-defined]
    counts = []
    for ax, name in zip(axes, names, strict=False):
        own = records[records["panel"] == name]
        polygons = own.groupby("polygon", sort=False)
        corners = [one[["u", "v"]].to_numpy() for _, one in polygons]
        colors = [palette[int(color)] for color in polygons["color"].first()]
        # No outlines: polygons of one pattern that touch are one cell.
        ax.add_collection(PolyCollection(corners, facecolors=colors, edgecolors=colors, linewidths=0.1))
        first = own.iloc[0]
        counts.append((name, first["setting"], first["width"], first["layer"], len(corners), first["patterns"]))
        ax.set(xlim=(-5, 5), ylim=(-5, 5), xticks=[], yticks=[], aspect="equal")
        ax.set_title(f"{name}\n{first['patterns']} patterns", fontsize=6.5)
    for ax in axes[len(names) :]:
        ax.set_axis_off()
    table = pd.DataFrame(counts, columns=["panel", "setting", "width", "layer", "polygons", "patterns"])
    caption = (
        "Cells on |x| < 5: points of one colour have the same activation pattern of the layer (neighbours may share a"
        " colour by chance). Counted are the patterns of the layer, by cutting polygons in float64; one network each."
    )
    return Drawing(figure, table, caption)
