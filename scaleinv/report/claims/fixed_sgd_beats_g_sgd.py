"""Whether weight fixing has an advantage over G-space, from equal starts."""

from collections.abc import Iterator

from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.comparisons import FIXED_SGD, G_SGD, KEPT_SGD, compare_chosen, loss_cases
from scaleinv.report.effects.verdicts import judge_lower
from scaleinv.report.studies import Study


class FixedSGDBeatsGSGD(Claim):
    """Lower loss from one start."""

    source = "T 4.3"
    quote = "with weight fixing showing a slight advantage"
    figures = ("equal_starts", "fig_4_10")
    source_epochs = 150

    def cases(self, study: Study) -> Iterator[Case]:
        """Both spaces keep the overwritten start; from different starts beside."""
        methods = (KEPT_SGD, "SGD / G, kept")
        pair = [study.chosen("start_or_space", method, start__name="overwritten") for method in methods]
        text = f"loss of {methods[0]} over loss of {methods[1]}, both from the overwritten start"
        yield compare_chosen(pair, "equal starts", text, judge_lower, study.epochs("start_or_space"))
        for case in loss_cases(study, "fig_4_10", FIXED_SGD, G_SGD, "", judge_lower, "different starts"):
            yield case.beside()
