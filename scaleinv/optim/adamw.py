"""Adam with decoupled weight decay."""

from dataclasses import dataclass

from scaleinv.optim.adam import scale_by_adam
from scaleinv.optim.base import GradientTransformation, Optimizer, add_decayed, chain
from scaleinv.symmetry.members import PerMember


@dataclass(frozen=True, kw_only=True)
class AdamW(Optimizer):
    """Adam's direction plus ``weight_decay * coords``; as ``torch.optim.AdamW``.

    Attributes:
        beta1: decay of the mean of the gradients.
        beta2: decay of the mean of their squares.
        eps: added to the denominator.
        weight_decay: decoupled decay of the coordinates.
    """

    beta1: PerMember = 0.9
    beta2: PerMember = 0.999
    eps: PerMember = 1e-8
    weight_decay: PerMember = 0.01

    def rule(self) -> GradientTransformation:
        """Return Adam's rule followed by the decay."""
        return chain(scale_by_adam(self.beta1, self.beta2, self.eps), add_decayed(self.weight_decay))
