"""The share of invariances in the weights, and whether what an invariant space changes follows it."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from scaleinv.report.claims._counts import range_case
from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.effects.intervals import estimate_mean
from scaleinv.report.figures.width_depth import EXPERIMENT, effects, shares
from scaleinv.report.studies import Study


class LargerLayersHaveASmallerShareOfInvariances(Claim):
    """K / m falls from each width to the next, with several hidden layers; with one it is 1 / (inputs + outputs).

    Beside it stands what the source leaves open: by how much the loss in an invariant space differs from that in weight
    space on every network, and the rank correlation of the size of this effect with K / m.
    """

    source = "T 4.3"
    quote = "the proportion of hidden nodes to the total number of weights is smaller in networks with larger layers"
    figures = ("width_depth",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Ratios of neighbouring shares; effects by network; their correlation by seed."""
        records = study.records(EXPERIMENT, "network.hidden")
        table = shares(records).sort_values(["layers", "width"])
        ratios = (table["share"] / table.groupby("layers")["share"].shift()).dropna()
        text = "K / m of the wider network over that of the narrower"
        is_deep = table.loc[ratios.index, "layers"] > 1
        yield range_case("several hidden layers", text, ratios[is_deep], 1, "pairs of networks")
        if not is_deep.all():
            yield range_case("one hidden layer", text, ratios[~is_deep], 1, "pairs of networks").beside()
        measured, epochs = effects(records), int(records["epoch"].max())
        for space, own in measured.groupby("space_name", sort=False):
            for hidden, rows in own.groupby("network.hidden", sort=False):
                estimate = estimate_mean(rows["log_ratio"].to_numpy()).as_ratio()
                words = f"loss of SGD in {space} space over loss in weight space"
                yield Case(f"{hidden}, {space}", words, estimate, None, decides=False, epochs=epochs)
            if len(table) > 2:
                seeds = own.assign(size=own["log_ratio"].abs()).groupby("seed")
                found = [rank_correlation(rows["share"], rows["size"]) for _, rows in seeds]
                words = f"rank correlation over networks of |log loss ratio| in {space} space with K / m"
                estimate = estimate_mean(np.array(found))
                yield Case(f"follows the share, {space}", words, estimate, None, decides=False, epochs=epochs)


def rank_correlation(first: pd.Series, second: pd.Series) -> float:
    """Return Spearman's correlation."""
    return float(np.corrcoef(first.rank().to_numpy(), second.rank().to_numpy())[0, 1])
