"""Weight fixing on networks that are unbalanced."""

from collections.abc import Iterator

from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.comparisons import KEPT_SGD, SGD, compare_chosen
from scaleinv.report.effects.verdicts import judge_higher
from scaleinv.report.studies import Study


class FixingDoesNotCompensate(Claim):
    """From an unbalanced start, a method with fixed weights reaches a higher loss.

    Unbalanced by reparametrisation, as in the source, and by a random rescaling with log standard deviation 2, which an
    invariant space does not notice at all.
    """

    source = "T 4.2.2"
    quote = "the weight fixing method is not capable of compensating for (largely) unbalanced networks"
    figures = ("stress", "unbalanced")

    def cases(self, study: Study) -> Iterator[Case]:
        """Reparametrised and rescaled starts; cycle space, which is invariant, beside."""
        epochs = study.epochs("unbalanced")
        fixed = study.chosen("unbalanced", "SGD / fixed, reparametrised", start__name="default")
        plain = study.chosen("unbalanced", SGD, start__name="default")
        words = "loss of SGD in the reparametrised network's fixed-weight space over SGD"
        yield compare_chosen([fixed, plain], "reparametrised", words, judge_higher, epochs)
        epochs = study.epochs("stress")
        for method in (KEPT_SGD, "Adam / fixed, kept", "SGD / cycle", "Adam / cycle"):
            pair = [study.chosen("stress", method, start__sigma=sigma) for sigma in (2.0, 0.0)]
            words = "loss from the rescaled start over the loss from the start that was not rescaled"
            case = compare_chosen(pair, f"rescaled, {method}", words, judge_higher, epochs)
            yield case.beside() if "cycle" in method else case
