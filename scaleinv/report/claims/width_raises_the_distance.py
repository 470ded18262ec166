"""Width against distance and accuracy (B-4)."""

from collections.abc import Iterator

from scaleinv.report.claims._push import HALF_A_POINT, difference, ratio
from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.effects.verdicts import judge_alike, judge_higher, judge_lower
from scaleinv.report.pushes import by_seed, cell, checkpoint, pushed, usual, widths
from scaleinv.report.studies import Study


class WidthRaisesTheDistance(Claim):
    """The widest kernel against the narrowest: further in the end, behind at first, with the same accuracy."""

    source = "B 3.2.2"
    quote = "a larger σ should result in the network distancing further [...] no influence on the validation accuracy"
    figures = ("b_3_3",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Final distance and accuracy decide, and the distance after one epoch: the curves must cross."""
        records = pushed(study)
        strength, listed = usual(records)[0], widths(records)
        begun, end = checkpoint(records), int(records["epoch"].max())
        wide, narrow = (cell(records, strength, w) for w in (listed[-1], listed[0]))
        far = [by_seed(rows, "weight_distance") for rows in (wide, narrow)]
        yield ratio("final distance", "distance with the widest kernel over the narrowest", far, judge_higher, end)
        first = [by_seed(rows, "weight_distance", begun + 1) for rows in (wide, narrow)]
        text = "distance one epoch after the checkpoint, widest over narrowest"
        yield ratio("narrow leads at first", text, first, judge_lower, end)
        final = [by_seed(rows, "val_accuracy") for rows in (wide, narrow)]
        text = "final accuracy with the widest kernel minus the narrowest"
        yield difference("accuracy", text, final, judge_alike, HALF_A_POINT, end)
