"""DDP-SGD between Path-SGD and the natural gradient: a question that P4 raises and leaves open."""

from collections.abc import Iterator

from scaleinv.report.claims._alphas import between_cases
from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.studies import Study


class AnAlphaBetweenWins(Claim):
    """Lower loss at the best share of the data between 0 and 1 than at the better end, for each moment."""

    source = "P4 5"
    quote = "interpolates between data-dependent and data-independent regularizers"
    figures = ("ddp_sgd",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Both moments."""
        yield from between_cases(study, "ddp_sgd", "optimizer.alpha", "optimizer.moment")
