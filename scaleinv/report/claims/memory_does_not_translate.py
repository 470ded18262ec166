"""What Adam's memory gains in weight space and in G-space."""

from collections.abc import Iterator

import numpy as np

from scaleinv.report.claims.base import Case, Claim, judged
from scaleinv.report.comparisons import ADAM, G_ADAM, G_ADAM_PUBLISHED, G_SGD, SGD
from scaleinv.report.effects.choice import log_ratios
from scaleinv.report.effects.intervals import estimate_mean
from scaleinv.report.effects.verdicts import judge_higher, seeds_margin
from scaleinv.report.studies import Study


class MemoryDoesNotTranslate(Claim):
    """The loss falls less with memory in G-space than in weight space: a difference of differences."""

    source = "T 4.1"
    quote = "The concept of first and second momentum does not appear to translate well to the path space"
    figures = ("memory",)
    source_epochs = 150

    def cases(self, study: Study) -> Iterator[Case]:
        """Adam's two memories decide; the first one alone stands beside them."""
        pairs = {
            "Adam": ("Adam, no memory / weight", ADAM, G_ADAM_PUBLISHED, G_ADAM),
            "momentum": (SGD, "momentum / weight", G_SGD, "momentum / G"),
        }
        for dataset in study.datasets("memory"):
            for optimizer, methods in pairs.items():
                chosen = [study.chosen("memory", method, dataset) for method in methods]
                plain, remembering, g_plain, g_remembering = (one.losses for one in chosen)
                gains = log_ratios(plain, remembering) - log_ratios(g_plain, g_remembering)
                contested = any(one.contested for one in chosen)
                estimate = estimate_mean(np.asarray(gains), contested=contested).as_ratio()
                margin = seeds_margin(*(one.logs for one in chosen))
                text = "factor that memory gains in weight space over factor that it gains in G-space"
                at_edge = any(one.at_edge for one in chosen)
                epochs = study.epochs("memory", dataset)
                case = judged(f"{dataset}, {optimizer}", text, estimate, judge_higher, margin, at_edge, epochs)
                yield case if optimizer == "Adam" else case.beside()
