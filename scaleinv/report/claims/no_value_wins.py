"""The best fixed value against 1."""

from collections.abc import Iterator

import numpy as np

from scaleinv.report.claims._values import value_cubes
from scaleinv.report.claims.base import Case, Claim, denied, judged
from scaleinv.report.effects.intervals import estimate_mean
from scaleinv.report.effects.verdicts import judge_lower, seeds_margin
from scaleinv.report.studies import Study


class NoValueWins(Claim):
    """The loss is not lower at the best value, which each seed's value and rate are chosen for on the others."""

    source = "T 4.2.3"
    quote = "there seems to be no clear advantage of setting the b to any specific value"
    figures = ("fig_4_7", "long_grid")

    def cases(self, study: Study) -> Iterator[Case]:
        """Every grid."""
        for name, losses, values, _, epochs in value_cubes(study):
            logs = np.log(losses)
            one, pairs = int(np.abs(values - 1).argmin()), []
            for seed in range(len(logs)):
                others = np.delete(logs, seed, axis=0).mean(0)
                value, rate = np.unravel_index(others.argmin(), others.shape)
                pairs.append((logs[seed, value, rate], logs[seed, one, others[one].argmin()]))
            best, at_one = np.array(pairs).T
            estimate = estimate_mean(best - at_one, contested=True).as_ratio()
            text = f"loss with the best fixed value over loss with {values[one]:g}"
            margin = seeds_margin(best, at_one)
            yield judged(name, text, estimate, denied(judge_lower), margin, epochs=epochs)
