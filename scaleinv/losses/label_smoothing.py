"""Cross-entropy with smoothed labels."""

from dataclasses import dataclass

import torch
from torch import Tensor

from scaleinv.losses._softmax import SoftmaxLoss, log_probability
from scaleinv.symmetry.members import PerMember, per_entry


@dataclass(frozen=True, kw_only=True)
class LabelSmoothing(SoftmaxLoss):
    """Cross-entropy to ``t = (1 - s) [c is the label] + s / classes``; as ``cross_entropy(label_smoothing=s)``.

    Its smallest value is the entropy of t, not 0. The recorded losses are smoothed too: see :class:`Loss`.

    Attributes:
        smoothing: s, the probability that is spread evenly over all classes; 0 is cross-entropy.
    """

    smoothing: PerMember = 0.1

    def __post_init__(self) -> None:
        """Check the range."""
        smoothings = torch.as_tensor(self.smoothing)
        if not bool(((smoothings >= 0) & (smoothings < 1)).all()):
            raise ValueError(f"smoothing must be at least 0 and less than 1, got {self.smoothing}")

    def targets(self, labels: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
        """Return the smoothed distributions; see :meth:`Loss.targets`."""
        certain = super().targets(labels, classes, dtype)
        if not isinstance(self.smoothing, Tensor):
            return certain.mul_(1 - self.smoothing).add_(self.smoothing / classes)
        certain = certain.repeat_interleave(len(self.smoothing) // len(labels), 0)
        return certain.mul_(per_entry(1 - self.smoothing, certain)).add_(per_entry(self.smoothing / classes, certain))

    def per_image(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Compute ``-(1 - s) log softmax(z)[label] - s mean_c log softmax(z)_c``; see :meth:`Loss.per_image`."""
        every, at_label = log_probability(logits, labels)
        share = per_entry(self.smoothing, at_label) if isinstance(self.smoothing, Tensor) else self.smoothing
        return -torch.lerp(at_label, every.mean(1), share)
