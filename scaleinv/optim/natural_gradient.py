"""Diagonal natural gradient."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scaleinv.optim._steepest import steepest
from scaleinv.optim.base import GradientTransformation, Optimizer, Point, State, add_decayed, chain
from scaleinv.symmetry.fisher import LIKELIHOODS, SOFTMAX, fisher_diagonal
from scaleinv.symmetry.members import PerMember, per_entry
from scaleinv.symmetry.network import Network
from scaleinv.symmetry.path_norm import path_curvature, require_paths


@dataclass(frozen=True, kw_only=True)
class NaturalGradient(Optimizer):
    """``g / F_ee`` with the exact diagonal of the Fisher matrix of the batch (Neyshabur et al. 2016, eq. 18).

    It costs one backward pass per output. Where F_ee is almost zero a step is huge; a constant added to F_ee would end
    the invariance, so what is added is a multiple of Path-SGD's kappa, which rescales as F does. Before batch norm
    there is none, as in Path-SGD.

    Attributes:
        likelihood: ``gaussian``, which is DDP-SGD with the second moment and ``alpha = 1`` (their theorem 2), or
            ``softmax``.
        damping: multiple of Path-SGD's kappa that is added to F; at least 0.
        momentum: momentum in the units of the metric; see :func:`scaleinv.optim._steepest.steepest`.
        weight_decay: decay of the coordinates, decoupled from the metric as in AdamW.
    """

    is_equivariant: ClassVar[bool] = True
    likelihood: str = SOFTMAX
    damping: PerMember = 0.1
    momentum: PerMember = 0.0
    weight_decay: PerMember = 0.0

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if self.likelihood not in LIKELIHOODS:
            raise ValueError(f"likelihood must be one of {', '.join(LIKELIHOODS)}, got {self.likelihood!r}")
        if not (torch.as_tensor(self.damping) >= 0).all():
            raise ValueError(f"damping must be at least 0, got {self.damping}")

    @property
    def needs_labels(self) -> bool:
        """Whether the likelihood is one of classes; see :attr:`Optimizer.needs_labels`."""
        return self.likelihood == SOFTMAX

    def check(self, network: Network) -> None:
        """Refuse networks without paths; see :meth:`Optimizer.check`."""
        require_paths(network)

    def rule(self) -> GradientTransformation:
        """Return the division by the Fisher diagonal, with momentum, followed by the decay."""

        def metric(point: Point, state: State) -> dict[str, Tensor]:
            fisher = fisher_diagonal(point.network, point.weights, point.images, self.likelihood, point.statistics)
            if isinstance(self.damping, Tensor) or self.damping:
                for name, kappa in path_curvature(point.network, point.weights, point.statistics).items():
                    share = per_entry(self.damping, kappa) if isinstance(self.damping, Tensor) else self.damping
                    fisher[name] = fisher[name] + share * kappa
            return fisher

        return chain(steepest(metric, self.momentum, lambda coords: {}), add_decayed(self.weight_decay))
