"""Heat map of time and learning rate, mu and sigma, and the errors of five models (P, figures 3.12 to 3.15)."""

import numpy as np
import pandas as pd

from scaleinv.report.figures.style import BLUE, ORANGE, PAGE, Drawing, panels, styled
from scaleinv.report.methods import refuse_several

EXPERIMENT = "transition"
MEAN = "mean"


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw the first seed's map, the track of mu and sigma, and the models' errors on the mean and on single layers."""
    refuse_several(records, "run")
    figure, (heat, track, errors) = panels(3, width=PAGE + 2, height=2.9)
    first = records[records["seed"] == records["seed"].min()]
    shares = first[(first["kind"] == "share") & (first["layer"] == MEAN)]
    table = shares.pivot(index="lr", columns="step", values="value")
    steps, lrs = table.columns.to_numpy(dtype=float), table.index.to_numpy(dtype=float)
    mesh = heat.pcolormesh(np.arange(len(steps)), lrs, table.to_numpy(), vmin=0, vmax=1, shading="nearest")
    figure.colorbar(mesh, ax=heat, label="share D of patterns changed")
    used = first[first["kind"] == "used"].sort_values("step")["value"].to_numpy(dtype=float)
    heat.plot(np.arange(len(used)), used, color="white")
    heat.set(yscale="log", xlabel="epoch", ylabel="learning rate (white: the one used)")
    for kind, color in (("mu", BLUE), ("sigma", ORANGE)):
        own = records[records["kind"] == kind].sort_values("step")
        for number, (_, line) in enumerate(own.groupby("seed")):
            x = np.arange(len(line))
            track.plot(x, line["value"], color=color, alpha=0.3 if number else 1.0, label=None if number else kind)
            if not number:
                track.fill_between(x, line["low"].astype(float), line["high"].astype(float), color=color, alpha=0.2)
    track.set(xlabel="epoch", ylabel="mu and sigma (log learning rate)")
    track.legend()
    fits = records[records["kind"] == "rmse"]
    models = list(dict.fromkeys(fits["model"]))
    of_mean = fits["layer"] == MEAN
    for shift, keep, color, name in ((0.0, of_mean, BLUE, "mean of layers"), (0.4, ~of_mean, ORANGE, "one layer")):
        medians = fits[keep].groupby("model")["value"].median().reindex(models)
        errors.bar(np.arange(len(models)) + shift, medians, 0.4, color=color, label=name)
    errors.set_xticks(np.arange(len(models)) + 0.2, models)
    errors.set_ylabel("root mean squared error of D")
    errors.legend()
    seed, others = first["seed"].iloc[0], records["seed"].nunique() - 1
    caption = (
        "Left: share of the batch's activation patterns, averaged over the layers, that one step would change, by epoch"
        f" and learning rate; seed {seed}. Middle: D = Phi((ln eta - mu) / sigma) fitted to it; band: 95 % bootstrap"
        f" interval over images of that seed; faint: the other {others} seeds. Right: median error of five models' fits"
        " over epochs and seeds."
    )
    kept = records[(records["kind"] != "share") | (records["layer"] == MEAN)]
    return Drawing(figure, kept[["kind", "model", "seed", "step", "layer", "lr", "value", "low", "high"]], caption)
