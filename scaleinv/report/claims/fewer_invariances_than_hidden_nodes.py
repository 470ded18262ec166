"""The number of invariances, from ranks of many small networks."""

from collections.abc import Iterator

from scaleinv.report.claims._counts import range_case
from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.studies import Study


class FewerInvariancesThanHiddenNodes(Claim):
    """Number of weights minus rank minus hidden nodes is below 0."""

    source = "T 6.1.1"
    quote = "the number of effective scale invariances is less than the number of hidden nodes"

    def cases(self, study: Study) -> Iterator[Case]:
        """Rank of the paths, and of the function's Jacobian."""
        records = study.records("invariances")
        networks = records.groupby(["network", "bias"])
        table = networks.agg({"parameters": "first", "hidden": "first", "path_rank": "first"})
        ranks = {"paths": table["path_rank"], "function": networks["jacobian_rank"].max()}
        for name, rank in ranks.items():
            excess = table["parameters"] - rank - table["hidden"]
            yield range_case(f"rank of the {name}", "invariances minus hidden nodes", excess, 0, "networks")
