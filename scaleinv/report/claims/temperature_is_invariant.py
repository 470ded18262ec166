"""The temperature of activation patterns under rescalings of the network."""

from collections.abc import Iterator

from scaleinv.report.claims.base import Case, Claim, judged
from scaleinv.report.effects.intervals import estimate_mean
from scaleinv.report.effects.verdicts import Margin, judge_alike
from scaleinv.report.figures.rescaled_temperature import SIGMA, shifts
from scaleinv.report.studies import Study

SGD = "SGD / weight"


class TemperatureIsInvariant(Claim):
    """The most sensitive learning rate stays where it is; SGD decides, as in P, the other methods stand beside it."""

    source = "P 3.2.1"
    quote = "is by construction invariant from linear network re-parametrizations"
    figures = ("rescaled_temperature",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Every method, before training, at the largest rescaling."""
        table = shifts(study.records("rescaled_temperature", SIGMA))
        widest = table[(table["epoch"] == table["epoch"].min()) & (table[SIGMA] == table[SIGMA].max())]
        margin = Margin(0.1, "a tenth in the natural log of the learning rate")
        for method, seeds in widest.groupby("method", sort=False):
            estimate = estimate_mean(seeds["shift"].to_numpy())
            name = f"{method}, sigma {seeds[SIGMA].iloc[0]:g}"
            case = judged(name, "shift of mu by the rescaling", estimate, judge_alike, margin)
            yield case if method == SGD else case.beside()
