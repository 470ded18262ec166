"""G-SGD against SGD on plain and residual networks, from one start."""

from collections.abc import Iterator

from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.comparisons import G_SGD, SGD, compare_chosen, label
from scaleinv.report.effects.verdicts import judge_lower
from scaleinv.report.studies import Study

EXPERIMENT = "conv_resnet"


class GSpaceFacilitatesOptimizationOfResNets(Claim):
    """Lower training loss in G-space than in weight space, on a plain and on a residual network.

    All methods start where G-SGD does. The validation loss, and cycle space, stand beside it.
    """

    source = "M"
    quote = "sufficient to represent ReLU neural networks so as to better facilitate the optimization process"
    figures = ("conv_resnet",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Both networks: training loss, validation loss, and cycle space."""
        records = study.records(EXPERIMENT, "network.name")
        epochs = int(records["epoch"].max())
        for network in dict.fromkeys(records["network.name"]):
            for method in (G_SGD, "SGD / cycle"):
                for measure in ("train_loss", "val_loss"):
                    pair = [
                        study.chosen(EXPERIMENT, one, measure=measure, network__name=network) for one in (method, SGD)
                    ]
                    words = label(network, method, measure)
                    case = compare_chosen(pair, words, f"loss of {method} over loss of {SGD}", judge_lower, epochs)
                    yield case if (method, measure) == (G_SGD, "train_loss") else case.beside()
