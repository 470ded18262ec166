"""What the source's unit tests of G-space claim, measured again."""

from collections.abc import Iterator

from scaleinv.report.claims._counts import range_case
from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.studies import Study


class UnitTestsOfGSpace(Claim):
    """Largest deviation of each fact over networks and seeds, below 1e-9."""

    source = "T 2.2.4"
    quote = "behave the same as the original [...] size of exactly m - H [...] f^-1 f(theta) = theta"

    def cases(self, study: Study) -> Iterator[Case]:
        """One case per fact."""
        for fact, rows in study.records("gspace_facts").groupby("fact", sort=False):
            yield range_case(str(fact), "largest deviation", rows["value"].abs(), 1e-9, "networks and seeds")
