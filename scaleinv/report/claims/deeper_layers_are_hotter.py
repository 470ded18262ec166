"""The temperature of the layers, from the first to the last."""

from collections.abc import Iterator

from scaleinv.report.claims.base import Case, Claim, judged
from scaleinv.report.effects.intervals import estimate_mean
from scaleinv.report.effects.verdicts import judge_higher
from scaleinv.report.figures.temperature import SCHEDULE, by_layer
from scaleinv.report.studies import Study


class DeeperLayersAreHotter(Claim):
    """The last layer's temperature is above the first's, under every schedule."""

    source = "P 3.2.4"
    quote = "deeper layers have higher change rates compared to those near the input of the network"
    figures = ("temperature",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Every schedule; mean over the epochs, paired by seed."""
        table = by_layer(study.records("temperature", SCHEDULE))
        epochs = study.epochs("temperature")
        for schedule, own in table[table["layer"] != "mean"].groupby(SCHEDULE, sort=False):
            bits = own.groupby(["seed", "layer"])["bits"].mean().unstack()
            layers = sorted(bits.columns, key=int)
            estimate = estimate_mean((bits[layers[-1]] - bits[layers[0]]).to_numpy())
            text = f"bits of layer {layers[-1]} minus those of layer {layers[0]}"
            yield judged(str(schedule), text, estimate, judge_higher, epochs=epochs)
