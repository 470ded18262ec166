"""Data-dependent path complexity of a network, and its curvature by each weight (maths.md, section 7)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scaleinv.symmetry.graph import Weights
from scaleinv.symmetry.members import PerMember
from scaleinv.symmetry.network import Network
from scaleinv.symmetry.samples import ChainSamples, ProgramSamples, Samples, Signs, mean_square, variance

# What S(z) is, the part that depends on the data.
COVARIANCE, SECOND_MOMENT = MOMENTS = ("covariance", "second_moment")


@dataclass(frozen=True)
class Complexity:
    """``gamma_v^2 = alpha S(z_v) + (1 - alpha) sum_u gamma_u^2 w_uv^2``, 1 at inputs and at the source of the biases.

    This is ``w^T R_v w`` for every R_v of Table 1 of Neyshabur et al. 2016 (their eq. 3 and 4): ``alpha = 0`` is the
    path norm, whatever the data, ``alpha = 1`` the variance, or the second moment, of the outputs.

    Attributes:
        alpha: share of the data, from 0 to 1, or one per member, ``(members,)``.
        moment: S(z), over the images: ``covariance`` for the variance, ``second_moment`` for the mean square.
    """

    alpha: PerMember = 0.5
    moment: str = COVARIANCE

    def __post_init__(self) -> None:
        """Check the options."""
        alphas = torch.as_tensor(self.alpha)
        if not ((alphas >= 0) & (alphas <= 1)).all():
            raise ValueError(f"alpha must be from 0 to 1, got {self.alpha}")
        if self.moment not in MOMENTS:
            raise ValueError(f"moment must be one of {', '.join(MOMENTS)}, got {self.moment!r}")

    def samples(self, network: Network, weights: Weights, images: Tensor, buffers: Weights | None = None) -> Samples:
        """Run the network on a batch.

        Args:
            network: description of the network.
            weights: tensors ``(members, own shape)``.
            images: ``(groups, batch, features)``; members are split evenly over the groups.
            buffers: running statistics, ``(members, own shape)`` by name; as freshly made if left out.

        Raises:
            UnsupportedNetworkError: no path norm is defined through an operation; the message names it.
        """
        members = len(next(iter(weights.values())))
        alphas = self.alpha.to(images) if isinstance(self.alpha, Tensor) else images.new_full((members,), self.alpha)
        options = (images, alphas, self.spread)
        if network.chain:
            return ChainSamples(network, weights, *options)
        return ProgramSamples(network, weights, buffers, *options)

    def gamma(self, network: Network, weights: Weights, images: Tensor, buffers: Weights | None = None) -> Tensor:
        """Compute ``gamma_net = sqrt(sum over the outputs of gamma_v^2)``, ``(members,)``.

        Arguments and errors as in :meth:`samples`.
        """
        return self.samples(network, weights, images, buffers).squared_gamma.sqrt()

    def curvature(
        self,
        network: Network,
        weights: Weights,
        images: Tensor,
        buffers: Weights | None = None,
        signs: Signs | None = None,
    ) -> dict[str, Tensor]:
        """Compute ``kappa_e = 1/2 d^2/dw_e^2 gamma_net^2``, by which DDP-SGD divides (their eq. 29 to 32).

        Their eq. 30 lacks a factor 1/n. The exact sum takes a backward pass for every hidden node and output. Random
        ``signs`` estimate it without bias from as many backward passes as there are signs per node.

        Other arguments and errors as in :meth:`samples`.

        Args:
            network: description of the network.
            weights: tensors ``(members, own shape)``.
            images: ``(groups, batch, features)``.
            buffers: running statistics.
            signs: maps the number of a group of nodes and its size to +-1, ``(k, nodes)``; None for the exact sum.

        Returns:
            One number per weight, by name, ``(members, own shape)``.
        """
        return self.samples(network, weights, images, buffers).curvature(signs)

    @property
    def spread(self) -> Callable[[Tensor], Tensor]:
        """S as a function of values over a batch, ``(members, batch, ...)``."""
        return variance if self.moment == COVARIANCE else mean_square
