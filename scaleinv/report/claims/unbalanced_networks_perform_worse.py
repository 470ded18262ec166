"""Networks that a random rescaling has unbalanced, in weight space."""

from collections.abc import Iterator

from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.comparisons import ADAM, SGD, compare_chosen
from scaleinv.report.effects.verdicts import judge_higher
from scaleinv.report.studies import Study


class UnbalancedNetworksPerformWorse(Claim):
    """Higher loss from a start rescaled with log standard deviation 2, with SGD and with Adam; 1 beside."""

    source = "T 4.2.2"
    quote = "unbalanced networks mostly perform worse"
    figures = ("stress",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Two optimizers, two strengths of rescaling."""
        for method in (SGD, ADAM):
            for sigma in (2.0, 1.0):
                pair = [study.chosen("stress", method, start__sigma=one) for one in (sigma, 0.0)]
                words = "loss from the rescaled start over the loss from the start that was not rescaled"
                name = f"{method}, sigma {sigma:g}"
                case = compare_chosen(pair, name, words, judge_higher, study.epochs("stress"))
                yield case if sigma == 2.0 else case.beside()
