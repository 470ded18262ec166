"""The number of cells against the bias of one hidden layer."""

from collections.abc import Iterator

from scaleinv.report.claims._cells import counts, ratio_case
from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.effects.verdicts import judge_higher
from scaleinv.report.figures.cells import EXACT
from scaleinv.report.studies import Study


class CellsPeakAtABias(Claim):
    """More cells at a bias near 0.8 than at the smallest positive one: of exact counts, not of a grid's."""

    source = "P 2.2.4"
    quote = "for increasing magnitudes, the number of ACs grows to a maximal value at about 0.8"
    figures = ("cells", "cell_images")

    def cases(self, study: Study) -> Iterator[Case]:
        """The exact count decides; the grids, as in P, stand beside it."""
        records = study.records("cells")
        for method in dict.fromkeys(records.loc[records["part"] == "bias", "method"]):
            table = counts(study, "bias", method)
            biases = table.columns.to_numpy(dtype=float)
            biases = biases[biases > 0]
            peak = biases[abs(biases - 0.8).argmin()]
            text = f"cells at bias {peak:g} over cells at bias {biases.min():g}"
            case = ratio_case(method, text, table[peak], table[biases.min()], judge_higher)
            yield case if method == EXACT else case.beside()
