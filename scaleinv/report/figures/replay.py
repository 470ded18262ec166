"""Is the feedback of ActCooLR worth anything beyond the learning rates that it chose?"""

import pandas as pd

from scaleinv.report.figures.style import BLUE, GREEN, ORANGE, PAGE, Drawing, Series, panels, plot_seeds, styled
from scaleinv.report.methods import refuse_several

EXPERIMENT = "replay"
COLORS = {"closed loop": BLUE, "its own record": GREEN, "another seed's record": ORANGE}


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw loss and error against the epoch, one line per arm."""
    refuse_several(records, "run")
    table = records.assign(error=1 - records["val_accuracy"])
    figure, axes = panels(2, width=PAGE + 1, height=3.0)
    for ax, (column, label) in zip(axes, (("val_loss", "validation loss"), ("error", "error")), strict=True):
        for arm, color in COLORS.items():
            style = {"color": color, "linestyle": "--" if arm == "its own record" else "-"}
            plot_seeds(ax, table[table["arm"] == arm], Series(arm, style), "epoch", column)
        ax.set(yscale="log", xlabel="epoch", ylabel=label)
    axes[0].legend(fontsize=6)
    seeds, dataset = table["seed"].nunique(), table["dataset"].iloc[0]
    caption = (
        "ActCooLR, and the learning rates that it chose repeated without measuring: for the same seed, and for another."
        f" {dataset}, n = {seeds} seeds; line: median, band: range, faint lines: single seeds."
    )
    return Drawing(figure, table[["arm", "seed", "epoch", "train_loss", "val_loss", "error"]], caption)
