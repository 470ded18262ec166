"""Data-dependent path complexity of a network, and its curvature by each weight (maths.md, section 7)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from scaleinv.symmetry.graph import Weights
from scaleinv.symmetry.members import PerMember
from scaleinv.symmetry.network import Network
from scaleinv.symmetry.path_norm import require_chain, times

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

    def gamma(self, network: Network, weights: Weights, images: Tensor) -> Tensor:
        """Compute ``gamma_net = sqrt(sum over the outputs of gamma_v^2)``, ``(members,)``.

        Args:
            network: description of the network.
            weights: tensors ``(members, own shape)``.
            images: ``(groups, batch, features)``; members are split evenly over the groups.
        """
        return ChainSamples(network, weights, images, self).reached[-1].sum(-1).sqrt()

    def curvature(
        self, network: Network, weights: Weights, images: Tensor, signs: list[Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Compute ``kappa_e = 1/2 d^2/dw_e^2 gamma_net^2``, by which DDP-SGD divides (their eq. 29 to 32).

        Their eq. 30 lacks a factor 1/n. The exact sum runs over all hidden nodes and outputs. Random ``signs``
        estimate it without bias from as many backward passes as there are signs per node.

        Args:
            network: description of the network.
            weights: tensors ``(members, own shape)``.
            images: ``(groups, batch, features)``; members are split evenly over the groups.
            signs: +-1 for every node, one tensor ``(k, nodes)`` per layer, or None for the exact sum.

        Returns:
            One number per weight, by name, ``(members, own shape)``.
        """
        return ChainSamples(network, weights, images, self).curvature(signs)


class ChainSamples:
    """Forward pass of a chain on a batch, with the complexity of every node.

    Attributes:
        inputs: what every layer reads, ``(members, batch, in)``.
        slopes: derivatives of the activations after every layer but the last, ``(members, batch, out)``.
        outputs: outputs of the last layer, ``(members, batch, out)``.
        reached: ``gamma_v^2`` of the inputs and of every layer's nodes, ``(members, nodes)``.
    """

    def __init__(self, network: Network, weights: Weights, images: Tensor, complexity: Complexity) -> None:
        """Compute everything that does not need a backward pass."""
        require_chain(network)
        self._chain, self._weights, self._complexity = network.chain, weights, complexity
        some = weights[network.chain[0].weight]
        self._alpha = torch.as_tensor(complexity.alpha, dtype=some.dtype, device=some.device).expand(len(some))[:, None]
        self.inputs = [images.repeat_interleave(len(some) // len(images), 0)]
        self.slopes: list[Tensor] = []
        self.reached = [some.new_ones(len(some), some.shape[-1])]
        for layer in network.chain:
            matrix = weights[layer.weight]
            z = self.inputs[-1] @ matrix.mT
            path = times(matrix.square(), self.reached[-1])
            if layer.bias is not None:
                z = z + weights[layer.bias].unsqueeze(1)
                path = path + weights[layer.bias].square()
            self.reached.append(self._alpha * self._spread(z) + (1 - self._alpha) * path)
            self.outputs = z
            if layer.slope is not None:
                self.slopes.append(torch.full_like(z, layer.slope).masked_fill_(z > 0, 1.0))
                self.inputs.append(z * self.slopes[-1])

    def curvature(self, signs: list[Tensor] | None = None, rays: Tensor | None = None) -> dict[str, Tensor]:
        """Compute kappa; see :meth:`Complexity.curvature`.

        Args:
            signs: see there.
            rays: gradients by the outputs to take in the place of the outputs themselves, ``(members, rays, batch,
                outputs)``.
        """
        curvature: dict[str, Tensor] = {}
        onwards = torch.ones_like(self.reached[-1])
        if rays is None:
            rays = self._join(None, onwards, None if signs is None else signs[-1])
        for depth in range(len(self._chain) - 1, -1, -1):
            layer, h = self._chain[depth], self.inputs[depth]
            matrix, average = self._weights[layer.weight], 1 if signs is None else len(signs[depth])
            weight, bias = self.sampled(rays, h)
            rest = (1 - self._alpha) * onwards
            curvature[layer.weight] = rest.unsqueeze(-1) * self.reached[depth].unsqueeze(-2) + weight / average
            if layer.bias is not None:
                curvature[layer.bias] = rest + bias / average
            if depth:
                onwards = times(matrix.square().mT, rest)
                rays = (rays @ matrix.unsqueeze(1)) * self.slopes[depth - 1].unsqueeze(1)
                rays = self._join(rays, onwards, None if signs is None else signs[depth - 1])
        return {name: curvature[name] for name in self._weights}

    def sampled(self, rays: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Sum the spread over the batch of ``d(ray)/dw`` over all rays, for a layer's matrix and bias.

        Args:
            rays: gradients of functions of the outputs by the layer's outputs, ``(members, rays, batch, out)``.
            h: what the layer reads, ``(members, batch, in)``.

        Returns:
            The sums, ``(members, out, in)`` and ``(members, out)``.
        """
        n = h.shape[1]
        squares = rays.square().sum(1)
        weight, bias = squares.mT @ h.square() / n, squares.mean(1)
        if self._complexity.moment == COVARIANCE:
            for ray in rays.unbind(1):
                weight -= (ray.mT @ h / n).square()
                bias -= ray.mean(1).square()
        return weight.clamp_(min=0), bias.clamp_(min=0)

    def _spread(self, z: Tensor) -> Tensor:
        return z.var(1, correction=0) if self._complexity.moment == COVARIANCE else z.square().mean(1)

    def _join(self, rays: Tensor | None, onwards: Tensor, signs: Tensor | None) -> Tensor:
        """Add the nodes of a layer, ``sqrt(alpha d gamma_net^2 / d gamma_v^2) z_v``, to the rays from the layers above.

        Without signs every node is a ray of its own; with signs each ray is a signed sum over all nodes.
        """
        size, n = (self._alpha * onwards).sqrt(), self.inputs[0].shape[1]
        if signs is None:
            if rays is not None and not isinstance(self._complexity.alpha, Tensor) and self._complexity.alpha == 1:
                return rays
            own = torch.diag_embed(size).unsqueeze(2).expand(-1, -1, n, -1)
            return own if rays is None else torch.cat([rays, own], 1)
        own = (signs * size.unsqueeze(1)).unsqueeze(2)
        return own.expand(-1, -1, n, -1) if rays is None else rays + own
