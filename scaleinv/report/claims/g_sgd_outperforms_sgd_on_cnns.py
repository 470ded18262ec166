"""G-SGD against SGD on convolutional networks, which the experiments of the G-SGD paper are about."""

from collections.abc import Iterator

from scaleinv.report.claims.base import Case, Claim
from scaleinv.report.comparisons import G_SGD, SGD, compare_chosen, label
from scaleinv.report.effects.verdicts import judge_lower
from scaleinv.report.studies import Study

EXPERIMENT = "conv_cnn"


class GSGDOutperformsSGDOnCNNs(Claim):
    """Lower loss on every convolutional network, in validation and in training, from one start.

    G-SGD overwrites the skeleton before it trains; SGD from the same overwritten weights decides, as it separates the
    space from the start. SGD from the drawn weights, which the paper compares with, stands beside it.
    """

    source = "M"
    quote = "Our experiments show that G-SGD significantly outperforms the conventional SGD algorithm"
    figures = ("conv_cnn",)

    def cases(self, study: Study) -> Iterator[Case]:
        """Every network, both measures, both starts of SGD."""
        records = study.records(EXPERIMENT, "network.name", "start.name")
        epochs = int(records["epoch"].max())
        text = f"loss of {G_SGD} over loss of {SGD}"
        for network in dict.fromkeys(records["network.name"]):
            for measure in ("val_loss", "train_loss"):
                g = study.chosen(EXPERIMENT, G_SGD, measure=measure, network__name=network, start__name="default")
                for start in ("overwritten", "default"):
                    sgd = study.chosen(EXPERIMENT, SGD, measure=measure, network__name=network, start__name=start)
                    words = label(network, measure if measure != "val_loss" else "", f"SGD from {start} start")
                    case = compare_chosen((g, sgd), words, text, judge_lower, epochs)
                    yield case if start == "overwritten" else case.beside()
