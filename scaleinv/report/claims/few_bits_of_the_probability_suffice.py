"""Probabilities of few bits (C-5.3)."""

from collections.abc import Iterator

from scaleinv.report.claims._push import HALF_A_POINT, difference
from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.effects.verdicts import judge_alike, judge_lower
from scaleinv.report.studies import Study
from scaleinv.report.tosses import by_seed, networks, tosses


class FewBitsOfTheProbabilitySuffice(Claim):
    """Four bits cost no more than half a point, one bit more than that."""

    source = "P 4.2.4"
    quote = "The accuracy drops slightly with discretized probabilities [...] A significant drop exists for [...] 1-bit"
    figures = ("binarization",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Every network, at one number of samples."""
        records = study.records("binarization", "network.name")
        for network in networks(records):
            own = tosses(records, "bits", network=network)
            whole = by_seed(own[own["bits"] == 0])
            for bits, judge in ((4, judge_alike), (1, judge_lower)):
                pair = by_seed(own[own["bits"] == bits]), whole
                text = f"accuracy with {bits} bits of the probability minus with all"
                yield difference(f"{network}, {bits} bits", text, pair, judge, HALF_A_POINT, 0)
