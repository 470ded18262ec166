"""Fully connected networks with data-dependent path normalisation (Neyshabur et al. 2016, section 4)."""

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from scaleinv.networks.base import Architecture
from scaleinv.symmetry.complexity import COVARIANCE, Complexity
from scaleinv.symmetry.graph import Edges, Graph
from scaleinv.symmetry.network import Network


class DDPLinear(nn.Module):
    """A linear layer whose nodes all have complexity 1: ``z = (w h - mean) / gamma + b / gamma``.

    ``gamma^2 = alpha S(w h) + (1 - alpha) |w|^2 + eps`` (their eq. 8 to 10, with ``gamma_u = 1`` for the nodes u before
    it, which are normalised too). With the covariance the mean over the batch is subtracted and S is the variance, so
    ``alpha = 1`` is a linear layer followed by batch norm without affine parameters; with the second moment nothing is
    subtracted and S is the mean square. ``alpha = 0`` gives every node weights of norm 1. In evaluation mode running
    statistics take the place of the batch's, updated as those of batch norm are.
    """

    running_mean: Tensor
    running_spread: Tensor

    def __init__(
        self,
        into: int,
        out: int,
        alpha: float = 0.5,
        moment: str = COVARIANCE,
        bias: bool = False,
        eps: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        """Make the layer.

        Args:
            into: number of nodes that it reads.
            out: number of its nodes.
            alpha: share of the data in gamma, from 0 to 1.
            moment: ``covariance`` or ``second_moment``.
            bias: whether nodes have biases; they do not count in gamma.
            eps: added to gamma^2; 0 makes the layer independent of the size of every node's weights.
            momentum: share of a batch in the running statistics.
        """
        super().__init__()
        Complexity(alpha, moment)
        self.alpha, self.is_centred, self.eps, self.momentum = alpha, moment == COVARIANCE, eps, momentum
        self.weight = nn.Parameter(torch.empty(out, into))
        self.bias = nn.Parameter(torch.empty(out)) if bias else None
        self.register_buffer("running_mean", torch.zeros(out))
        self.register_buffer("running_spread", torch.ones(out))
        self.track_running_stats = True
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights as ``nn.Linear`` does, and forget the running statistics."""
        bound = 1 / math.sqrt(self.weight.shape[1])
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)
        self.running_mean.zero_()
        self.running_spread.fill_(1.0)

    def forward(self, h: Tensor) -> Tensor:
        """Compute the normalised nodes, ``(batch, out)``."""
        z = functional.linear(h, self.weight)
        if self.training:
            mean = z.mean(0) if self.is_centred else torch.zeros_like(self.running_mean)
            spread = (z - mean).square().mean(0)
            self._remember(mean.detach(), spread.detach(), len(z))
        else:
            mean, spread = self.running_mean, self.running_spread
        gamma = (self.alpha * spread + (1 - self.alpha) * self.weight.square().sum(1) + self.eps).sqrt()
        z = z - mean if self.is_centred else z
        return (z if self.bias is None else z + self.bias) / gamma

    def _remember(self, mean: Tensor, spread: Tensor, n: int) -> None:
        """Move the running statistics towards those of a batch; a variance as its unbiased estimate."""
        unbiased = spread * (n / max(n - 1, 1)) if self.is_centred else spread
        self.running_mean.lerp_(mean, self.momentum)
        self.running_spread.lerp_(unbiased, self.momentum)

    def extra_repr(self) -> str:
        """Describe the options."""
        moment = "covariance" if self.is_centred else "second_moment"
        out, into = self.weight.shape
        return f"{into}, {out}, alpha={self.alpha}, moment={moment}, bias={self.bias is not None}, eps={self.eps}"


@dataclass(frozen=True)
class DDPMLP(Architecture):
    """Normalised hidden layers with ReLU between them, and a last layer that is not normalised.

    Every node's weights may be multiplied by a positive number, up to eps; nothing compensates for it, and running
    statistics do not follow, so this is no rescaling in the sense of the spaces, and only weight space takes the
    network.

    Attributes:
        hidden: widths of the hidden layers.
        alpha: share of the data in the complexity that is normalised to 1, from 0 to 1.
        moment: ``covariance``, which with alpha 1 is batch norm, or ``second_moment``.
        bias: whether every layer has a bias.
        eps: added to the squared complexity.
    """

    hidden: list[int]
    alpha: float = 0.5
    moment: str = COVARIANCE
    bias: bool = False
    eps: float = 1e-5

    def __post_init__(self) -> None:
        """Check the options."""
        if not self.hidden or any(width < 1 for width in self.hidden):
            raise ValueError(f"a normalised network needs hidden nodes, got network.hidden={self.hidden}")
        if not self.eps >= 0:
            raise ValueError(f"network.eps must be at least 0, got {self.eps}")
        Complexity(self.alpha, self.moment)

    def network(self, inputs: tuple[int, ...], outputs: int) -> Network:
        """Describe the network; see :meth:`Architecture.network`."""
        features = math.prod(inputs)
        make = partial(self.module, features, outputs)
        with torch.random.fork_rng(devices=[]):
            shapes = {name: tuple(w.shape) for name, w in make().named_parameters()}
        anchor = torch.zeros(1, dtype=torch.long)
        edges = {name: Edges(*[anchor.view([1] * len(shape))] * 2) for name, shape in shapes.items()}
        return Network(make, Graph(shapes, edges, ()), (features,), outputs)

    def module(self, features: int, outputs: int) -> nn.Sequential:
        """Make a fresh module, its weights drawn from the global generator."""
        parts: list[nn.Module] = []
        for into, out in zip([features, *self.hidden[:-1]], self.hidden, strict=True):
            parts += [DDPLinear(into, out, self.alpha, self.moment, self.bias, self.eps), nn.ReLU()]
        return nn.Sequential(*parts, nn.Linear(self.hidden[-1], outputs, self.bias))
