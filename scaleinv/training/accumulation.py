"""Gradients of a batch, computed part by part in the memory of one part."""

import torch
from torch import Tensor

from scaleinv.losses.base import Loss
from scaleinv.symmetry.graph import Weights
from scaleinv.symmetry.network import Network
from scaleinv.training.autograd import AutogradGradient
from scaleinv.training.engine import Engine


class AccumulatingEngine(Engine):
    """The passes of another engine, over parts of a batch: ``g = sum_p (n_p / n) g_p`` for parts of ``n_p`` images.

    That is the gradient of the whole batch's mean loss, in another order of summation. Only layers that look at several
    images at once (batch norm) notice: they see a part.
    """

    def __init__(self, engine: Engine, images: int) -> None:
        """Wrap ``engine``; ``images`` is the largest number of images in a part."""
        self.network, self._engine, self._images = engine.network, engine, images
        self._sums: dict[str, Tensor] = {}
        self._outputs: Tensor | None = None
        self._hidden: list[list[Tensor]] = []

    @classmethod
    def scalars(cls, network: Network, batch_size: int) -> tuple[int, int]:
        """Not known here: it is that of the wrapped engine, for a part; see :meth:`Engine.scalars`."""
        raise NotImplementedError

    def logits(self, weights: Weights, images: Tensor) -> Tensor:
        """Return the outputs of each member, in one pass; see :meth:`Engine.logits`."""
        self._engine.records = self.records
        outputs = self._engine.logits(weights, images)
        self._hidden = [self._engine.hidden()] if self.records else []
        return outputs

    def gradient(
        self, weights: Weights, images: Tensor, targets: Tensor, loss: Loss
    ) -> tuple[Tensor, AutogradGradient]:
        """Add up the gradients of all parts; see :meth:`Engine.gradient`."""
        self._engine.records, self._hidden = self.records, []
        parts = zip(images.split(self._images, 1), targets.split(self._images, -1), strict=True)
        for i, (some, wanted) in enumerate(parts):
            logits, gradient = self._engine.gradient(weights, some, wanted, loss)
            outputs = self._room(logits, images.shape[1])
            outputs[..., i * self._images :][..., : logits.shape[-1]].copy_(logits)
            share = some.shape[1] / images.shape[1]
            for name, g in gradient.whole(weights).items():
                if i == 0:
                    torch.mul(g, share, out=self._sum(name, g))
                else:
                    self._sums[name].add_(g, alpha=share)
            if self.records:
                self._hidden.append([z.clone() for z in self._engine.hidden()])
        return outputs, AutogradGradient({name: self._sums[name] for name in weights})

    def hidden(self) -> list[Tensor]:
        """Return the inputs of activations for the whole batch; see :meth:`Engine.hidden`."""
        return [torch.cat(of_parts, -1) for of_parts in zip(*self._hidden, strict=True)]

    def buffers(self) -> list[Tensor]:
        """Return all memory that is kept; see :meth:`Engine.buffers`."""
        outputs = [] if self._outputs is None else [self._outputs]
        return [*self._engine.buffers(), *self._sums.values(), *outputs]

    def _sum(self, name: str, like: Tensor) -> Tensor:
        if name not in self._sums or self._sums[name].shape != like.shape:
            self._sums[name] = torch.empty_like(like)
        return self._sums[name]

    def _room(self, like: Tensor, batch: int) -> Tensor:
        if self._outputs is None or self._outputs.shape[-1] != batch or len(self._outputs) != len(like):
            self._outputs = like.new_empty(*like.shape[:-1], batch)
        return self._outputs


def accumulating(engine: Engine, parts: int, batch_size: int) -> Engine:
    """Return an engine that cuts batches of ``batch_size`` images into ``parts``; the engine itself for one part."""
    return engine if parts == 1 else AccumulatingEngine(engine, part_size(parts, batch_size))


def part_size(parts: int, batch_size: int) -> int:
    """Return the number of images in a part, the last of which may have fewer."""
    return -(-batch_size // parts)
