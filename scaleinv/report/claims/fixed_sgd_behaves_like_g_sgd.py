"""Fixed weights against G-space, from equal starts."""

from collections.abc import Iterator

from scaleinv.report.claims.base import Case, Claim, judged
from scaleinv.report.comparisons import FIXED_SGD, G_SGD, KEPT_SGD, compare_chosen, loss_cases
from scaleinv.report.effects.choice import differences
from scaleinv.report.effects.intervals import estimate_mean
from scaleinv.report.effects.rates import sensitivity
from scaleinv.report.effects.verdicts import judge_alike, seeds_margin
from scaleinv.report.studies import Study


class FixedSGDBehavesLikeGSGD(Claim):
    """Equal losses and equal sensitivities, from one start.

    The source's two methods start from different networks: G-space overwrites the roots of the first layer too.
    """

    source = "T 4.3"
    quote = "G-SGD and Fixed SGD behave quite similarly"
    figures = ("equal_starts", "fig_4_10")
    source_epochs = 150

    def cases(self, study: Study) -> Iterator[Case]:
        """Both spaces keep the overwritten start; from different starts beside."""
        name, epochs, methods = "start_or_space", study.epochs("start_or_space"), (KEPT_SGD, "SGD / G, kept")
        pair = [study.chosen(name, method, start__name="overwritten") for method in methods]
        text = f"loss of {methods[0]} over loss of {methods[1]}, both from the overwritten start"
        yield compare_chosen(pair, "equal starts, loss", text, judge_alike, epochs)
        chance = study.chance(name)
        above = [
            sensitivity(study.losses(name, method, start__name="overwritten"), chance, "cells") for method in methods
        ]
        estimate, margin = estimate_mean(differences(*above)), seeds_margin(*above)
        text = f"learning-rate sensitivity of {methods[0]} minus that of {methods[1]}"
        yield judged("equal starts, sensitivity", text, estimate, judge_alike, margin, epochs=epochs)
        for case in loss_cases(study, "fig_4_10", FIXED_SGD, G_SGD, "", judge_alike, "different starts"):
            yield case.beside()
