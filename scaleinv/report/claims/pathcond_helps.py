"""PathCond at the start."""

from collections.abc import Iterator

import numpy as np

from scaleinv.report.claims.base import Case, Claim, judged
from scaleinv.report.comparisons import ADAM, SGD, compare_chosen
from scaleinv.report.effects.intervals import estimate_mean
from scaleinv.report.effects.verdicts import judge_lower, seeds_margin
from scaleinv.report.studies import Study


class PathCondHelps(Claim):
    """Lower loss with SGD, every start at its own best rate; at one rate, and with Adam and the balanced gauge, beside.

    The source trains at one rate; the one here is the best rate of the default start.
    """

    source = "PC"
    quote = "Numerical experiments illustrate its potential to speed up training"
    figures = ("pathcond",)

    def cases(self, study: Study) -> Iterator[Case]:
        """PathCond with SGD decides."""
        epochs = study.epochs("pathcond")
        for start in ("pathcond", "balanced"):
            for method in (SGD, ADAM):
                named = [f"{method}, start {one}" for one in (start, "default")]
                pair = [study.chosen("pathcond", one) for one in named]
                words = f"loss from the {start} start over the loss from the default start"
                case = compare_chosen(pair, f"{method}, {start}, own best rate", words, judge_lower, epochs)
                yield case if (start, method) == ("pathcond", SGD) else case.beside()
                tables = [np.log(study.losses("pathcond", one)) for one in named]
                rate = tables[1].mean().idxmin()
                logs = tables[0][rate] - tables[1][rate]
                margin = seeds_margin(tables[0][rate], tables[1][rate])
                estimate = estimate_mean(logs.to_numpy()).as_ratio()
                name = f"{method}, {start}, the default start's best rate {rate:g}"
                yield judged(name, words, estimate, judge_lower, margin, epochs=epochs).beside()
