"""Distance from the checkpoint with a kernel and without one (B-1)."""

from collections.abc import Iterator

import numpy as np

from scaleinv.report.claims._push import difference, ratio
from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.effects.verdicts import Margin, judge_alike, judge_higher
from scaleinv.report.pushes import by_seed, cell, checkpoint, pushed, strengths, usual
from scaleinv.report.studies import Study


class PushRaisesTheDistance(Claim):
    """Larger in the end, more of it in the first epoch; without the kernel, distance grows like the epochs."""

    source = "B 3.1"
    quote = "the distance increases relatively fast [...] The blue plot in contrast follows an almost linear curve"
    figures = ("b_3_1",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Final distance, share of the first epoch, and the growth without the kernel."""
        records = pushed(study)
        strength, width = usual(records)
        begun, end = checkpoint(records), int(records["epoch"].max())
        push, plain = (cell(records, s, width) for s in (strength, strengths(records)[0]))
        last = [by_seed(rows, "weight_distance") for rows in (push, plain)]
        yield ratio("final distance", "distance with the kernel over without", last, judge_higher, end)
        first = [by_seed(rows, "weight_distance", begun + 1) for rows in (push, plain)]
        shares = [a / b for a, b in zip(first, last, strict=True)]
        text = "share of the final distance after one epoch, with the kernel minus without"
        yield difference("fast, then slow", text, shares, judge_higher, Margin(0.0, "no margin"), end)
        powers = np.log(last[1] / first[1]) / np.log(end - begun) if end - begun > 1 else last[1] * 0
        text = "power of the epochs with which distance grows without the kernel, minus 1"
        yield difference(
            "linear without", text, (powers, powers * 0 + 1), judge_alike, Margin(0.1, "a power of 0.1"), end
        )
