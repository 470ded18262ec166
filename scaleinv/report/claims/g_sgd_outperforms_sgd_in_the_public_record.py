"""G-SGD against SGD in a training that is public: one learning rate that decays, many epochs."""

from collections.abc import Iterator

from scaleinv.report.claims.base import Case, Claim, judged
from scaleinv.report.comparisons import G_SGD, SGD, label
from scaleinv.report.effects.choice import BEST, LAST, loss_ratio
from scaleinv.report.effects.verdicts import judge_lower, seeds_margin
from scaleinv.report.studies import Study

EXPERIMENT = "public_record"


class GSGDOutperformsSGDInThePublicRecord(Claim):
    """Lower loss in validation and in training, at the record's own learning rate."""

    source = "M"
    quote = "G-SGD outperforms conventional SGD on benchmark datasets"
    figures = ("public_record",)
    needs_epochs = 300

    def cases(self, study: Study) -> Iterator[Case]:
        """Validation and training loss; the best epoch decides, the last stands beside it."""
        epochs = study.epochs(EXPERIMENT)
        text = f"loss of {G_SGD} over loss of {SGD}"
        for measure in ("val_loss", "train_loss"):
            for protocol in (BEST, LAST):
                pair = [study.chosen(EXPERIMENT, method, "", protocol, measure) for method in (G_SGD, SGD)]
                margin = seeds_margin(*(one.logs for one in pair))
                # There is one learning rate, so none at the edge of a grid.
                words = label(measure if measure != "val_loss" else "", protocol)
                case = judged(words, text, loss_ratio(*pair), judge_lower, margin, epochs=epochs)
                yield case if protocol == BEST else case.beside()
