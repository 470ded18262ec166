"""What several networks predict: how much they disagree, and how good their mean is.

Probabilities are ``(members, images, classes)``; entropies are in nats.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

# Width of the bins of the calibration error is one over this.
BINS = 15


def entropy(probabilities: Tensor) -> Tensor:
    """Compute ``-sum_c p_c log p_c`` along the last dim; the derivative is finite where a probability is zero."""
    return torch.special.entr(probabilities.clamp(min=torch.finfo(probabilities.dtype).tiny)).sum(-1)


def disagreement(first: Tensor, second: Tensor) -> Tensor:
    """Return the share of images that two networks put into different classes, ``(*members,)``."""
    return (first.argmax(-1) != second.argmax(-1)).double().mean(-1)


def js_divergence(first: Tensor, second: Tensor) -> Tensor:
    """Return the mean Jensen-Shannon divergence, ``H((p + q) / 2) - (H(p) + H(q)) / 2``, between 0 and log 2.

    Args:
        first: probabilities ``(*members, images, classes)``.
        second: probabilities that broadcast against them.

    Returns:
        The mean over the images, ``(*members,)``.
    """
    mixed = entropy((first + second) / 2)
    return (mixed - (entropy(first) + entropy(second)) / 2).clamp(min=0).mean(-1)


def calibration_error(probabilities: Tensor, labels: Tensor, bins: int = BINS) -> float:
    """Compute the expected calibration error: mean distance of confidence and accuracy, over bins of confidence.

    Args:
        probabilities: ``(images, classes)``.
        labels: ``(images,)``.
        bins: number of bins of equal width.
    """
    confidence, predicted = probabilities.max(-1)
    which = (confidence * bins).ceil().long().clamp(1, bins) - 1
    gaps = (predicted == labels).to(confidence) - confidence
    return float(torch.zeros(bins, dtype=gaps.dtype).index_add_(0, which, gaps).abs().sum() / len(labels))


@dataclass(frozen=True)
class Scores:
    """How good an ensemble's mean prediction is, and how different its members are.

    Attributes:
        accuracy: share of images that the mean prediction gets right.
        nll: mean negative log likelihood.
        brier: mean over images of ``sum_c (p_c - [c = label])^2``.
        ece: expected calibration error, 15 bins.
        entropy: mean entropy of the mean prediction.
        mutual_information: mean of entropy of the mean minus mean of the members' entropies.
        disagreement: share of images on which two members differ, mean over pairs; 0 for one member.
        member_accuracy: mean accuracy of the members.
        diversity: disagreement over (1 - mean accuracy of the members); 0 for one member.
    """

    accuracy: float
    nll: float
    brier: float
    ece: float
    entropy: float
    mutual_information: float
    disagreement: float
    member_accuracy: float
    diversity: float


def score(probabilities: Tensor, labels: Tensor) -> Scores:
    """Score the mean of the members' predictions.

    Args:
        probabilities: ``(members, images, classes)``.
        labels: ``(images,)``.

    Raises:
        ValueError: there is no member.
    """
    if len(probabilities) == 0:
        raise ValueError("an ensemble needs at least one network")
    p = probabilities.double()
    mean = p.mean(0)
    of_label = mean.gather(-1, labels[:, None])
    each = (p.argmax(-1) == labels).double().mean(-1).mean()
    pairs = torch.combinations(torch.arange(len(p)))
    differ = float(disagreement(p[pairs[:, 0]], p[pairs[:, 1]]).mean()) if len(pairs) else 0.0
    wrong = 1 - float(each)
    return Scores(
        accuracy=float((mean.argmax(-1) == labels).double().mean()),
        nll=float(-of_label.clamp(min=torch.finfo(p.dtype).tiny).log().mean()),
        brier=float((mean.square().sum(-1) - 2 * of_label[:, 0] + 1).mean()),
        ece=calibration_error(mean, labels),
        entropy=float(entropy(mean).mean()),
        mutual_information=float((entropy(mean) - entropy(p).mean(0)).mean()),
        disagreement=differ,
        member_accuracy=float(each),
        diversity=differ / wrong if wrong > 0 else 0.0,
    )


def cka(first: Tensor, second: Tensor) -> Tensor:
    """Compute linear centred kernel alignment, ``|X^T Y|^2 / (|X^T X| |Y^T Y|)`` of centred features.

    It does not change when either is rotated or multiplied by one number. It does change when single channels are
    rescaled, so hidden layers are only comparable in one gauge; outputs always are.

    Args:
        first: features ``(*members, images, n)``.
        second: features of the same images, ``(*members, images, m)``.

    Returns:
        Numbers between 0 and 1, ``(*members,)``.
    """
    x, y = (f - f.mean(-2, keepdim=True) for f in (first.double(), second.double()))

    def size(a: Tensor, b: Tensor) -> Tensor:
        return (a.mT @ b).square().sum((-1, -2))

    return size(x, y) / (size(x, x) * size(y, y)).sqrt()
