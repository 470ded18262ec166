"""Accuracy in place against the number of samples (C-5.1)."""

from collections.abc import Iterator

from scaleinv.report.claims._push import HALF_A_POINT, difference
from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.effects.verdicts import judge_alike, judge_lower
from scaleinv.report.studies import Study
from scaleinv.report.tosses import by_seed, networks, tosses


class MoreSamplesApproachFloats(Claim):
    """One sample costs accuracy; the largest number of samples is within half a point of floats."""

    source = "P 4.2.3"
    quote = "With increasing sample size the results [...] approach full precision"
    figures = ("binarization",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Every network, folded, in the gauge of training."""
        records = study.records("binarization", "network.name")
        for network in networks(records):
            own = tosses(records, "samples", network=network, gauge="trained", folded=True)
            floats = by_seed(own[own["samples"] == 0])
            least, most = own.loc[own["samples"] > 0, "samples"].agg(["min", "max"])
            for n, judge in ((least, judge_lower), (most, judge_alike)):
                pair = by_seed(own[own["samples"] == n]), floats
                text = f"accuracy at {n} samples minus that in floats"
                yield difference(f"{network}, n = {n}", text, pair, judge, HALF_A_POINT, 0)
