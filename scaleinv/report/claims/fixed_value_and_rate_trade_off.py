"""The best learning rate for each fixed value."""

from collections.abc import Iterator

from scaleinv.report.claims._values import GRIDS, value_cubes
from scaleinv.report.claims.base import Case, Claim, judged
from scaleinv.report.effects.contrasts import slopes
from scaleinv.report.effects.intervals import estimate_mean
from scaleinv.report.effects.verdicts import Margin, judge_lower
from scaleinv.report.studies import Study


class FixedValueAndRateTradeOff(Claim):
    """The larger the fixed value, the smaller its best learning rate: the slope of log lr against log value."""

    source = "T 4.2.3"
    quote = "A clear correlation between the network performance, learning rate and fixed weight scale"
    figures = ("fig_4_7", "long_grid")

    def cases(self, study: Study) -> Iterator[Case]:
        """Every grid; values at which a seed does not learn at any rate are left out."""
        chance = min(study.chance(experiment) for experiment in GRIDS)
        for name, losses, values, rates, epochs in value_cubes(study):
            estimate = estimate_mean(slopes(losses, values, rates, chance - 0.1))
            margin = Margin(0.1, "a tenth of a decade of learning rates for a decade of values")
            text = "slope of log(best learning rate) against log(fixed value)"
            yield judged(name, text, estimate, judge_lower, margin, epochs=epochs)
