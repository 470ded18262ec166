"""The number of cells against the depth of the layer."""

from collections.abc import Iterator

from scaleinv.report.claims._cells import counts, ratio_case
from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.effects.verdicts import judge_higher, judge_lower
from scaleinv.report.studies import Study


class CellsFallWithDepthUnlessNormalised(Claim):
    """Patterns of the last layer over those of the first, exactly.

    P gives bias 1 in a caption, which decides, and uniform biases in the text, which stand beside it.
    """

    source = "P 2.2.4"
    quote = (
        "While the number of measured ACs decreases for the network without normalization layers, the number increases"
        " instead in the case batch normalization is used."
    )
    figures = ("cells", "cell_images")

    def cases(self, study: Study) -> Iterator[Case]:
        """Without norm, and with two."""
        for setting, judge in (
            *(("bias 1", judge_lower), ("uniform biases", judge_lower)),
            *(("batch norm, beta 0", judge_higher), ("batch norm, beta 1", judge_higher)),
        ):
            table = counts(study, "depth", setting=setting)
            layers = table.columns.to_numpy(dtype=float)
            first, last = layers.min(), layers.max()
            text = f"patterns of layer {last:g} over those of layer {first:g}"
            case = ratio_case(setting, text, table[last], table[first], judge)
            yield case.beside() if setting == "uniform biases" else case
