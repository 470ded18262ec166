"""Scoring of whole splits, in memory that training does not use."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from scaleinv.losses.base import Loss, Score
from scaleinv.patterns.bits import require_activations
from scaleinv.symmetry.graph import Weights
from scaleinv.symmetry.network import Network
from scaleinv.training.autograd import make_engine
from scaleinv.training.data import Dataset, Slab, Split


class Evaluator:
    """Scores members without changing anything that training reads."""

    def __init__(
        self,
        network: Network,
        data: Dataset,
        loss: Loss,
        statistics: Mapping[str, Tensor],
        read: Callable[[Weights], Weights] = dict,
    ) -> None:
        """Prepare; memory is made on first use and used again.

        Args:
            network: the description, with its graph on the device of the data.
            data: data set with the splits to score.
            loss: loss to measure.
            statistics: see :class:`scaleinv.training.autograd.AutogradEngine`; only read.
            read: what becomes of the weights before they are scored, once per split (a number format).
        """
        self._loss, self._read = loss, read
        self._engine = make_engine(network, statistics)
        self._data, self._slab = data, Slab(data)
        self._activations = network.activations
        self._bytes = slab_bytes(data.scale.device)

    def score(self, weights: Weights, split: Split) -> Score:
        """Score every member on a whole split, summed over its images.

        Args:
            weights: tensors ``(members, own shape)``, contiguous.
            split: a split of the data set.
        """
        parts = []
        weights = self._read(weights)
        for slab in self._slabs(weights, split):
            logits = self._engine.logits(weights, self._slab.normalise(slab.images)[None])
            parts.append(self._loss.score(logits, slab.labels[None]).total())
        return total(parts)

    def hidden(self, weights: Weights, split: Split) -> Iterator[list[Tensor]]:
        """Yield the inputs of all activations for a split, a part of its images at a time.

        Args:
            weights: tensors ``(members, own shape)``, contiguous.
            split: a split of the data set.

        Yields:
            What :meth:`scaleinv.training.engine.Engine.hidden` returns, in evaluation mode.
        """
        for slab in self._slabs(weights, split):
            yield self.hidden_at(weights, self._slab.normalise(slab.images)[None])

    def hidden_at(self, weights: Weights, images: Tensor, training: bool = False) -> list[Tensor]:
        """Return the inputs of all activations for images ``(groups, n, features)``; see :meth:`hidden`.

        Args:
            weights: tensors ``(members, own shape)``, contiguous, members ordered by group.
            images: normalised images.
            training: whether to normalise with the batch's own statistics, as training does, and leave the running
                ones as they are.
        """
        self._engine.records = True
        try:
            (self._engine.rehearse if training else self._engine.logits)(weights, images)
        finally:
            self._engine.records = False
        return self._engine.hidden()

    def widths(self, weights: Weights) -> list[tuple[int, int]]:
        """Return the number of channels and of positions of every activation layer, in forward order.

        Args:
            weights: tensors ``(members, own shape)``, contiguous.

        Raises:
            UnsupportedNetworkError: the network has no activation.
        """
        one = self._slab.normalise(self._data.train.images[:1])
        hidden = self.hidden_at(weights, one[None])
        require_activations(hidden)
        return [(z.shape[1], z.shape[2]) for z in hidden]

    def _slabs(self, weights: Weights, split: Split) -> Iterator[Split]:
        """Cut a split into parts of as many images as should be in memory at once."""
        members = next(iter(weights.values())).shape[0]
        slab = max(128, 4 * self._bytes // (4 * 2 * self._activations * members))
        for start in range(0, len(split), slab):
            yield Split(split.images[start : start + slab], split.labels[start : start + slab])

    def buffers(self) -> list[Tensor]:
        """Return all memory that is kept between calls."""
        return [*self._slab.buffers(), *self._engine.buffers()]


def total(parts: Sequence[Score]) -> Score:
    """Add scores up."""
    correct = [part.correct for part in parts if part.correct is not None]
    return Score(torch.stack([p.loss for p in parts]).sum(0), torch.stack(correct).sum(0) if correct else None)


def slab_bytes(device: torch.device) -> int:
    """Return the number of bytes to gather at once: on a CPU it should fit the cache, on a GPU need few launches."""
    return 2**22 if device.type == "cpu" else 2**28
