"""The kernel of a distance from checkpoints, in the weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scaleinv.minima.rulers import InWeights
from scaleinv.penalties._repulsion import Gaussian, Hills, Kernel

if TYPE_CHECKING:
    from scaleinv.probes.base import Scene


@dataclass(frozen=True, kw_only=True)
class RepulsionWeights(Kernel):
    """The kernel of the squared distance between weights, as in the source; rescaling the network changes it."""

    def ruler(self, scene: "Scene") -> InWeights:
        """Measure between weights; see :meth:`Kernel.ruler`."""
        return InWeights()

    def attach(self, scene: "Scene") -> "HillsInWeights":
        """Attach with the gradient written out; see :meth:`Kernel.attach`."""
        return self._made(HillsInWeights, scene)


class HillsInWeights(Hills):
    """The same term as :class:`Hills`, with its gradient written out: autograd would take as long as a whole step."""

    # Memory for the difference from a checkpoint, by member, and the same by tensor; made at the first step.
    _step: Tensor | None = None
    _views: list[Tensor] | None = None

    def add_gradient_(self, tensors: Mapping[str, Tensor], grads: Mapping[str, Tensor]) -> None:
        """Add ``-strength / width^2 exp(-d / (2 width^2)) (w - w_c)`` for every checkpoint; see :meth:`Term`."""
        slope, parts = self._slope, [w.view(len(w), -1) for w in tensors.values()]
        assert isinstance(slope, Gaussian)
        if self._step is None or self._views is None:
            self._step = torch.cat(parts, 1)
            self._views = [
                v.view_as(w)
                for v, w in zip(self._step.split([p.shape[1] for p in parts], 1), tensors.values(), strict=True)
            ]
            rates = 1 / slope.width.square()
            self._rates, self._factors = (-rates / 2).to(self._step), (-slope.strength * rates).to(self._step)
        for made, there in self._hills():
            # One long tensor: fewer and longer operations than one tensor after the other.
            torch.cat(parts, 1, out=self._step)
            torch._foreach_sub_(self._views, [there[name] for name in tensors])
            height = torch.linalg.vector_norm(self._step, dim=1).square_().mul_(self._rates).exp_()
            self._step.mul_(height.mul_(self._factors).mul_(made).unsqueeze_(1))
            torch._foreach_add_([grads[name] for name in tensors], self._views)
