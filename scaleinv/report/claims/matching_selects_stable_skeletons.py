"""The source's matching against its diagonal, and against the largest products."""

from collections.abc import Iterator

import pandas as pd

from scaleinv.report.claims.base import Case, Claim, judged
from scaleinv.report.effects.intervals import estimate_mean
from scaleinv.report.effects.verdicts import Margin, judge_lower
from scaleinv.report.studies import Study

EXPERIMENT = "skeletons"
DECADE = Margin(0.1, "a tenth of a decade")


class MatchingSelectsStableSkeletons(Claim):
    """The products that the network is rescaled by spread over fewer decades than with the diagonal, on every network.

    The largest products (maxprod) against the matching, and the share of nodes whose fixed weight a rescaling of the
    network moves, stand beside it.
    """

    source = "T 6.3.1"
    quote = "The following algorithm selects the fixed weights in such a way, that minimizes their distance to 1 or -1"
    figures = ("skeletons",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Every network: decades of the products, and what a rescaling moves."""
        records = study.records(EXPERIMENT)
        for network, own in records.groupby("network", sort=False):
            decades = own.pivot(index="seed", columns="choice", values="decades")
            for first, second in (("hungarian", "default"), ("maxprod", "hungarian")):
                estimate = estimate_mean((decades[first] - decades[second]).to_numpy())
                text = f"decades of |S| with {first} minus those with {second}"
                case = judged(f"{network}, {first}", text, estimate, judge_lower, DECADE)
                yield case if first == "hungarian" else case.beside()
            moved: pd.Series = own[own["choice"] == "hungarian"]["moved"]
            text = "share of nodes with another fixed weight after a rescaling, hungarian"
            yield Case(f"{network}, moved", text, estimate_mean(moved.to_numpy()), None, decides=False)
