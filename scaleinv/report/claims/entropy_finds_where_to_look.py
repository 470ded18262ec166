"""Attention against random positions (C-5.5)."""

from collections.abc import Iterator

from scaleinv.report.claims._push import difference
from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.effects.verdicts import NO_MARGIN, judge_higher
from scaleinv.report.studies import Study
from scaleinv.report.tosses import by_seed, tosses


class EntropyFindsWhereToLook(Claim):
    """At the coverage of entropy, random positions are less accurate."""

    source = "P 4.2.5"
    quote = "the random selection fails to identify the interesting regions"
    figures = ("attention",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Every pair of numbers of samples."""
        records = study.records("attention")
        own = tosses(records, "attention")
        for first, second in sorted(set(zip(own["first"], own["samples"], strict=True))):
            rows = own[(own["first"] == first) & (own["samples"] == second)]
            pair = [by_seed(rows[rows["mode"] == mode]) for mode in ("entropy", "random")]
            text = "accuracy with positions chosen by entropy minus at random, at equal coverage"
            yield difference(f"{first:g} and {second:g} samples", text, pair, judge_higher, NO_MARGIN, 0)
