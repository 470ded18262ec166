"""The temperature of activation patterns during training, by layer and schedule (P, figures 3.8 to 3.10)."""

import pandas as pd

from scaleinv.report.figures.curves import DATASETS, describe_n
from scaleinv.report.figures.style import BLACK, PAGE, Drawing, panels, styled
from scaleinv.report.methods import refuse_several, with_methods

EXPERIMENT = "temperature"
SCHEDULE = "schedule.name"


def by_layer(records: pd.DataFrame) -> pd.DataFrame:
    """Return by schedule, seed, epoch and layer the temperature in bits, and the share D of changed patterns."""
    refuse_several(records, "dataset")
    with_methods(records, [SCHEDULE])  # raises where two configurations cannot be told apart
    names = [str(name).partition("_")[2] for name in records if str(name).startswith("temperature_")]
    parts = []
    for layer in names:
        part = records[[SCHEDULE, "seed", "epoch"]].assign(layer=layer)
        parts.append(part.assign(bits=records[f"temperature_{layer}"], share=records[f"distance_{layer}"]))
    table = pd.concat(parts, ignore_index=True)
    return table[table["epoch"] > 0]


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw one panel per schedule, one line per layer, the mean of the layers in black."""
    table = by_layer(records)
    schedules = list(dict.fromkeys(table[SCHEDULE]))
    figure, axes = panels(len(schedules), width=PAGE + 1.5, height=2.8)
    layers = [layer for layer in dict.fromkeys(table["layer"]) if layer != "mean"]
    for ax, schedule in zip(axes, schedules, strict=True):
        own = table[table[SCHEDULE] == schedule].groupby(["layer", "epoch"])["bits"].median()
        for number, layer in enumerate(layers):
            shade = (0.15 + 0.7 * number / max(1, len(layers) - 1), 0.3, 0.6)
            ax.plot(own[layer].index, own[layer], color=shade, label=f"layer {layer}")
        ax.plot(own["mean"].index, own["mean"], color=BLACK, linestyle="--", label="mean of D")
        ax.set(title=str(schedule), xlabel="epoch", ylabel="temperature (bits)")
    axes[0].legend(fontsize=6)
    caption = (
        "Temperature -log2(1 - D) of every layer's patterns, D the share of the batch's patterns that a step changes,"
        f" averaged over each epoch; medians over seeds. {DATASETS.get(records['dataset'].iloc[0], '')};"
        f" {describe_n(records)}."
    )
    return Drawing(figure, table, caption)
