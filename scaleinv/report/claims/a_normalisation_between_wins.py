"""DDP-normalisation between path normalisation and batch normalisation: a question that P4 raises and leaves open."""

from collections.abc import Iterator

from scaleinv.report.claims._alphas import between_cases
from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.studies import Study


class ANormalisationBetweenWins(Claim):
    """Lower loss at the best share of the data between 0 and 1 than at the better end."""

    source = "P4 4"
    quote = "Going beyond Batch-Normalization, we can also use the same approach with other choices"
    figures = ("ddp_normalisation",)

    def cases(self, study: Study) -> Iterator[Case]:
        """One case."""
        yield from between_cases(study, "ddp_normalisation", "network.alpha", "network.moment")
