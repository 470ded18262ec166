"""Pruned networks (C-5.4)."""

from collections.abc import Iterator

from scaleinv.report.claims._push import HALF_A_POINT, difference
from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.effects.verdicts import judge_alike, judge_lower
from scaleinv.report.studies import Study
from scaleinv.report.tosses import by_seed, networks, tosses


class PruningAQuarterIsMild(Claim):
    """A quarter costs no more than half a point, half costs more."""

    source = "P 4.2.4"
    quote = "pruning of 25% has only moderate influence"
    figures = ("binarization",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Every network, at one number of samples."""
        records = study.records("binarization", "network.name")
        for network in networks(records):
            own = tosses(records, "pruning", network=network)
            whole = by_seed(own[own["pruned"] == 0])
            for share, judge in ((0.25, judge_alike), (0.5, judge_lower)):
                pair = by_seed(own[own["pruned"] == share]), whole
                text = f"accuracy with {share:.0%} of the weights pruned minus with none"
                yield difference(f"{network}, {share:.0%}", text, pair, judge, HALF_A_POINT, 0)
