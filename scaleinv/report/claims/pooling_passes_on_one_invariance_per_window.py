"""The number of invariances that pooling passes on, from ranks of small convolutional networks."""

from collections.abc import Iterator

from scaleinv.report.claims._counts import range_case
from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.figures.pooling import EXPERIMENT, counts
from scaleinv.report.studies import Study


class PoolingPassesOnOneInvariancePerWindow(Claim):
    """As many invariances as channels times windows where windows do not overlap; as many as channels where they do."""

    source = "T 3.0.5"
    quote = "Transmitting one scale invariance per channel and pooling operation to the next layer"
    figures = ("pooling",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Without overlap, which decides where there is more than one window; with overlap."""
        table = counts(study.records(EXPERIMENT))
        missing = table["claimed"] - table["counted"]
        pools = table["pooling"] != "none"
        text = "invariances that the source claims minus those counted"
        yield range_case(
            "windows without overlap", text, missing[pools & ~table["overlaps"] & (table["windows"] > 1)], 1, "networks"
        )
        yield range_case("windows with overlap", text, missing[table["overlaps"]], 1, "networks").beside()
