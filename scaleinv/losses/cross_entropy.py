"""Cross-entropy."""

from dataclasses import dataclass

from torch import Tensor

from scaleinv.losses._softmax import SoftmaxLoss, log_probability


@dataclass(frozen=True, kw_only=True)
class CrossEntropy(SoftmaxLoss):
    """``-log softmax(z)[label]``, in nats; as ``torch.nn.functional.cross_entropy``."""

    def per_image(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Compute ``-log softmax(z)[label]``; see :meth:`Loss.per_image`."""
        return log_probability(logits, labels)[1].neg_()
