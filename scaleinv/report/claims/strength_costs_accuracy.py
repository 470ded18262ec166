"""Strength against distance and accuracy (B-3)."""

from collections.abc import Iterator

from scaleinv.report.claims._push import HALF_A_POINT, difference, ratio
from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.effects.verdicts import judge_higher, judge_lower
from scaleinv.report.pushes import by_seed, cell, checkpoint, pushed, strengths, usual
from scaleinv.report.studies import Study


class StrengthCostsAccuracy(Claim):
    """The strongest kernel against the weakest one above zero: further, an initial drop, and a loss that stays."""

    source = "B 3.2.1"
    quote = "For higher strength values, the validation accuracy receives an initial drop [...] never recover"
    figures = ("b_3_2",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Distance, accuracy one epoch after the checkpoint, and accuracy in the end; the last against no kernel."""
        records = pushed(study)
        width, listed = usual(records)[1], strengths(records)
        begun, end = checkpoint(records), int(records["epoch"].max())
        strong, weak, plain = (cell(records, s, width) for s in (listed[-1], listed[1], listed[0]))
        far = [by_seed(rows, "weight_distance") for rows in (strong, plain)]
        yield ratio("distance", "final distance of the strongest kernel over that without", far, judge_higher, end)
        drop = [by_seed(rows, "val_accuracy", begun + 1) for rows in (strong, weak if len(listed) > 2 else plain)]
        text = "accuracy one epoch after the checkpoint, strongest kernel minus weakest"
        yield difference("initial drop", text, drop, judge_lower, HALF_A_POINT, end)
        final = [by_seed(rows, "val_accuracy") for rows in (strong, plain)]
        text = "final accuracy of the strongest kernel minus that without"
        yield difference("never recovers", text, final, judge_lower, HALF_A_POINT, end)
