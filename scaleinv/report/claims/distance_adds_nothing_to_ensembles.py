"""Ensembles against single networks, and pushed snapshots against plain ones (B-8)."""

from collections.abc import Iterator

from scaleinv.report.claims._push import HALF_A_POINT, difference
from scaleinv.report.claims.base import Case, Claim, denied
from scaleinv.report.effects.verdicts import NO_MARGIN, judge_higher
from scaleinv.report.pushes import by_method
from scaleinv.report.studies import Study


class DistanceAddsNothingToEnsembles(Claim):
    """Snapshots beat one run of the same length; pushed in weights, they are not better by half a point."""

    source = "B 3.5"
    quote = "first show higher accuracy than single network - than see, that distance has no better value than without"
    figures = ("ensembles",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Accuracy of mean predictions."""
        records = study.records("ensembles")
        plain, one = by_method(records, "snapshots"), by_method(records, "one run")
        text = "accuracy of snapshots minus that of one run"
        yield difference("ensemble", text, (plain["accuracy"], one["accuracy"]), judge_higher, NO_MARGIN, 0)
        push = by_method(records, "snapshots, pushed in weights")
        text = "accuracy of pushed snapshots minus that of plain ones"
        pair = push["accuracy"], plain["accuracy"]
        yield difference("pushed", text, pair, denied(judge_higher), HALF_A_POINT, 0)
