"""The entropy of activation patterns, with a gradient by a surrogate (P A.1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from scaleinv.penalties.base import Penalty, Term
from scaleinv.symmetry.network import Network
from scaleinv.symmetry.program import Operation

if TYPE_CHECKING:
    from scaleinv.probes.base import Scene

QUADRATIC, LINEAR = SURROGATES = ("quadratic", "linear")
ACTIVATIONS = {"relu", "relu_", "leaky_relu", "leaky_relu_", "prelu"}


@dataclass(frozen=True, kw_only=True)
class PatternEntropy(Penalty):
    """``-strength * sum over layers of H``, H the entropy of the activation patterns of some training images, in nats.

    Counts have no gradient. With c the count of a sample's pattern, ``dc/dz`` is replaced by z (``quadratic``, the
    gradient of half its square) or by the sign of the entry nearest to zero (``linear``). Then frequent patterns are
    pulled towards their boundaries, and rare ones pushed away. Where all patterns are different there is no gradient,
    so this needs narrow layers, or many positions. The source found no gain of accuracy.

    Attributes:
        images: number of training images, the first ones.
        surrogate: ``quadratic`` or ``linear``.
    """

    images: int = 256
    surrogate: str = QUADRATIC

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if self.images < 1:
            raise ValueError(f"images must be at least 1, got {self.images}")
        if self.surrogate not in SURROGATES:
            raise ValueError(f"surrogate must be one of {', '.join(SURROGATES)}, got {self.surrogate!r}")

    def attach(self, scene: "Scene") -> "EntropyTerm":
        """Take the first training images; see :meth:`Penalty.attach`."""
        some = scene.data.normalise(scene.data.train.images[: self.images])
        shaped = some.unflatten(-1, scene.network.inputs)
        linear = self.surrogate == LINEAR
        return EntropyTerm(self.strengths(scene).double(), scene.network, shaped, scene.statistics, linear)


@dataclass(frozen=True)
class EntropyTerm(Term):
    """See :class:`PatternEntropy`.

    Attributes:
        strength: float64 ``(members,)``.
        network: description of the network.
        images: ``(images, *inputs)``.
        statistics: running statistics of the members.
        linear: whether the surrogate is linear.
    """

    strength: Tensor
    network: Network
    images: Tensor
    statistics: Mapping[str, Tensor]
    linear: bool

    def value(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return minus the entropies, ``(members,)``; see :meth:`Term.value`."""
        entropies = []
        for i in range(len(self.strength)):
            own = {name: t[i] for name, t in {**tensors, **self.statistics}.items()}
            entropies.append(torch.stack(self._entropies(own)).sum())
        return -self.strength * torch.stack(entropies)

    def _entropies(self, tensors: Mapping[str, Tensor]) -> list[Tensor]:
        found: list[Tensor] = []

        def visit(at: Operation, args: tuple, kwargs: dict[str, Any]) -> Any:
            if at.short in ACTIVATIONS:
                found.append(pattern_entropy(args[0].movedim(1, -1).flatten(0, -2), self.linear))
            return at.target(*args, **kwargs)

        self.network.program.run(tensors, self.images, visit)
        return found


def pattern_entropy(z: Tensor, linear: bool = False) -> Tensor:
    """Return the entropy of the patterns ``z > 0``, in nats, float64, with the surrogate gradient by z.

    Args:
        z: inputs of activations, ``(samples, channels)``.
        linear: surrogate of the gradient of a count; see :class:`PatternEntropy`.
    """
    entropy = _PatternEntropy.apply(z, linear)
    assert isinstance(entropy, Tensor)
    return entropy


def slopes(counts: Tensor) -> Tensor:
    """Return the derivative of the entropy by the counts, ``-(log p + H) / N`` with ``p = c / N``, N their sum.

    The sum is differentiated too: with N constant, every pattern rarer than 1 / e would be pushed outwards.
    """
    p = counts.double() / counts.sum()
    entropy = -torch.special.xlogy(p, p).sum()
    return -(p.log() + entropy) / counts.sum()


class _PatternEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, linear: bool) -> Tensor:
        _, ids, counts = torch.unique(z > 0, dim=0, return_inverse=True, return_counts=True)
        ctx.save_for_backward(z, slopes(counts)[ids])
        ctx.linear = linear
        p = counts.double() / counts.sum()
        return -torch.special.xlogy(p, p).sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        z, slope = ctx.saved_tensors
        way = z
        if ctx.linear:
            nearest = z.abs().argmin(-1, keepdim=True)
            way = torch.zeros_like(z).scatter(-1, nearest, z.gather(-1, nearest).sign())
        return (grad * slope).to(z)[:, None] * way, None
