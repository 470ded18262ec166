"""Effects of the start and of the space, in 2 x 2 designs."""

from collections.abc import Iterator

import numpy as np

from scaleinv.report.claims.base import Case, Claim, judged
from scaleinv.report.effects.contrasts import larger_effect, two_by_two
from scaleinv.report.effects.intervals import estimate_mean
from scaleinv.report.effects.verdicts import Margin, judge_higher
from scaleinv.report.studies import Study


class StartMattersMoreThanSpace(Claim):
    """The main effect of the start on the log loss is larger than that of the space, whichever space is compared."""

    source = "T 5.1"
    quote = "Much of the performance variation appears to stem from the choice of the fixed parameter values"
    figures = ("start_or_space", "equal_starts")
    source_epochs = 150

    def cases(self, study: Study) -> Iterator[Case]:
        """Weight space with each of four others; effects and interaction are measured beside."""
        name, epochs = "start_or_space", study.epochs("start_or_space")
        chance = study.chance(name)
        for optimizer in ("SGD", "Adam"):
            for space in ("cycle", "fixed, kept", "G, kept", "G, invariant"):
                arms = [
                    [study.chosen(name, f"{optimizer} / {one}", start__name=start) for one in ("weight", space)]
                    for start in ("default", "overwritten")
                ]
                logs = np.array([[one.logs for one in row] for row in arms])
                effects = two_by_two(np.where(np.isinf(logs), np.log(chance), logs))
                case = f"{optimizer}, weight and {space}"
                text = "size of the main effect of the start minus that of the space, log loss"
                at_edge = any(one.at_edge for row in arms for one in row)
                larger, margin = larger_effect(effects.row, effects.column), Margin(0.05, "5 % of the loss")
                yield judged(f"{case} space", text, larger, judge_higher, margin, at_edge, epochs)
                parts = {
                    "start, overwritten over default": effects.row,
                    f"space, {space} over weight": effects.column,
                    "interaction": effects.interaction,
                }
                for what, numbers in parts.items():
                    estimate = estimate_mean(numbers)
                    yield Case(
                        f"{case}: {what}", "effect on the log loss", estimate, None, decides=False, epochs=epochs
                    )
