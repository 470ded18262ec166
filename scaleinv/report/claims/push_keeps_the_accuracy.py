"""Validation accuracy with an ordinary kernel (B-2)."""

from collections.abc import Iterator

from scaleinv.report.claims._push import HALF_A_POINT, difference
from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.effects.verdicts import judge_alike
from scaleinv.report.pushes import by_seed, cell, pushed, strengths, usual
from scaleinv.report.studies import Study


class PushKeepsTheAccuracy(Claim):
    """Within half a point after the last epoch."""

    source = "B 3.1"
    quote = "it stays similar to the accuracy without the distance function"
    figures = ("b_3_1",)

    def cases(self, study: Study) -> Iterator[Case]:
        """The lowest strength above zero, middle width."""
        records = pushed(study)
        strength, width = usual(records)
        pair = [by_seed(cell(records, s, width), "val_accuracy") for s in (strength, strengths(records)[0])]
        text = "validation accuracy with the kernel minus without"
        yield difference("accuracy", text, pair, judge_alike, HALF_A_POINT, int(records["epoch"].max()))
