"""Pruned networks (C-5.4)."""

from collections.abc import Iterator

from scaleinv.report.claims._tosses import changes
from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.effects.verdicts import judge_alike, judge_lower
from scaleinv.report.studies import Study


class PruningAQuarterIsMild(Claim):
    """A quarter costs no more than half a point, half costs more."""

    source = "P 4.2.4"
    quote = "pruning of 25% has only moderate influence"
    figures = ("binarization",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Every network, at one number of samples."""
        named = "{:.0%}", "accuracy with {:.0%} of the weights pruned minus with none"
        yield from changes(study, "pruning", "pruned", {0.25: judge_alike, 0.5: judge_lower}, *named)
