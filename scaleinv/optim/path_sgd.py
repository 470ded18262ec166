"""Path-SGD."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from scaleinv.optim._steepest import steepest
from scaleinv.optim.base import GradientTransformation, Optimizer, Point, State, add_decayed, chain
from scaleinv.symmetry.members import PerMember
from scaleinv.symmetry.network import Network
from scaleinv.symmetry.path_norm import path_curvature, require_paths


@dataclass(frozen=True, kw_only=True)
class PathSGD(Optimizer):
    """Steepest descent under the l2 path norm: ``g / kappa``, kappa half the second derivative of its square by w.

    kappa comes from one forward and one backward pass of the squared weights at a single input of ones (Neyshabur et
    al. 2015, Path-SGD). A step in weight space commutes with every rescaling, with momentum too, except
    before batch norm, whose running statistics, which kappa depends on, do not follow a rescaling of the weights.

    Attributes:
        momentum: momentum in the units of the metric; see :func:`scaleinv.optim._steepest.steepest`.
        weight_decay: decay of the coordinates, decoupled from the metric as in AdamW.
    """

    is_equivariant: ClassVar[bool] = True
    momentum: PerMember = 0.0
    weight_decay: PerMember = 0.0

    def check(self, network: Network) -> None:
        """Refuse networks without paths; see :meth:`Optimizer.check`."""
        require_paths(network)

    def rule(self) -> GradientTransformation:
        """Return the division by kappa, with momentum, followed by the decay."""

        def metric(point: Point, state: State) -> dict[str, Tensor]:
            return path_curvature(point.network, point.weights, point.statistics)

        return chain(steepest(metric, self.momentum, lambda coords: {}), add_decayed(self.weight_decay))
