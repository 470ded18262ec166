"""DDP-SGD: between Path-SGD and the natural gradient."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scaleinv.optim._signs import random_signs
from scaleinv.optim._steepest import steepest
from scaleinv.optim.base import UNCHANGED, GradientTransformation, Optimizer, Point, State, add_decayed, chain
from scaleinv.spaces.base import Coords
from scaleinv.symmetry.complexity import COVARIANCE, Complexity
from scaleinv.symmetry.members import PerMember
from scaleinv.symmetry.network import Network
from scaleinv.symmetry.path_norm import require_paths


@dataclass(frozen=True, kw_only=True)
class DDPSGD(Optimizer):
    """Steepest descent under the data-dependent path complexity: ``g / kappa`` (Neyshabur et al. 2016, eq. 15).

    ``alpha = 0`` is Path-SGD; ``alpha = 1`` with the second moment is the diagonal natural gradient of Gaussian outputs
    (their theorem 2). With the covariance and ``alpha = 1`` the biases of the outputs do not move, because no variance
    depends on them. A step in weight space commutes with every rescaling, with momentum too, except before batch norm,
    whose running statistics, which kappa depends on, do not follow a rescaling of the weights.

    Attributes:
        alpha: share of the data in the complexity, from 0 to 1; see :class:`scaleinv.symmetry.complexity.Complexity`.
        moment: ``covariance`` or ``second_moment`` of the outputs of every node, over the batch.
        probes: number of random vectors of signs that estimate kappa without bias, new ones at every step; 0 computes
            kappa exactly, from as many backward passes as there are hidden nodes and outputs.
        momentum: momentum in the units of the metric; see :func:`scaleinv.optim._steepest.steepest`.
        weight_decay: decay of the coordinates, decoupled from the metric as in AdamW.
    """

    is_equivariant: ClassVar[bool] = True
    alpha: PerMember = 0.5
    moment: str = COVARIANCE
    probes: int = 1
    momentum: PerMember = 0.0
    weight_decay: PerMember = 0.0

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        Complexity(self.alpha, self.moment)
        if self.probes < 0:
            raise ValueError(f"probes must be a number of vectors, or 0 for the exact metric, got {self.probes}")

    def check(self, network: Network) -> None:
        """Refuse networks without paths; see :meth:`Optimizer.check`."""
        require_paths(network)

    def rule(self) -> GradientTransformation:
        """Return the division by kappa, with momentum, followed by the decay."""
        complexity = Complexity(self.alpha, self.moment)

        def init(coords: Coords) -> State:
            device = next(iter(coords.values())).device
            return {"step": torch.zeros((), dtype=torch.int64, device=device)} if self.probes else {}

        def metric(point: Point, state: State) -> dict[str, Tensor]:
            signs, some = None, next(iter(point.weights.values()))
            if self.probes:
                state["step"] += 1
                signs = lambda group, nodes: random_signs(state["step"], group, (self.probes, nodes), some.dtype)  # noqa: E731
            return complexity.curvature(point.network, point.weights, point.images, point.statistics, signs)

        return chain(steepest(metric, self.momentum, init, {"step": UNCHANGED}), add_decayed(self.weight_decay))
