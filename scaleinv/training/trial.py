"""A step that can be tried at any learning rate before it is taken."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from scaleinv.optim.base import Point
from scaleinv.patterns.bits import pack, require_activations
from scaleinv.patterns.distance import flip_rate
from scaleinv.schedules.base import Progress
from scaleinv.spaces.base import Coords
from scaleinv.training.evaluate import Evaluator

# Largest number of bytes of the weights that are tried in one stack.
_BYTES = 2**26


@dataclass(frozen=True)
class Changes:
    """What a step would change, at some learning rates; float64.

    A sample with an input of an activation that is not finite after the step counts as changed.

    Attributes:
        shares: share of the samples with another pattern, ``(candidates, members, layers)``.
        flips: share of the bits that differ, ``(candidates, members, layers)``.
        by_image: share of an image's samples with another pattern, averaged over the layers,
            ``(candidates, members, images)``.
    """

    shares: Tensor
    flips: Tensor
    by_image: Tensor


@dataclass
class Trial:
    """The coming step of a stack, as controllers and probes see it; nothing they do with it changes the step.

    Attributes:
        point: where the step begins, with its batch.
        progress: how far training is.
        lrs: learning rates of the step, ``(members,)``; for a controller those of the grid, without the schedule.
        passes: number of forward passes that trying has cost, counted per candidate.
    """

    point: Point
    progress: Progress
    lrs: Tensor
    evaluator: Evaluator
    aim: Callable[[], Coords]
    hidden: Callable[[], list[Tensor]]
    passes: int = 0

    @cached_property
    def direction(self) -> Coords:
        """The optimizer's direction in the coordinates, penalties included; a copy, the optimizer's state stays."""
        return self.aim()

    @cached_property
    def before(self) -> list[Tensor]:
        """Packed patterns of the batch at the point, one tensor ``(members, words, samples)`` per activation layer.

        They cost nothing: the gradient has computed them.
        """
        hidden = self.hidden()
        require_activations(hidden)
        self.channels = [z.shape[1] for z in hidden]
        return [pack(z) for z in hidden]

    @property
    def samples(self) -> int:
        """Number of samples of the layer with the fewest."""
        return min(words.shape[2] for words in self.before)

    def weights(self, lrs: Tensor) -> dict[str, Tensor]:
        """Return the weights after the step, ``(members, own shape)``, at learning rates ``(members,)``."""
        chart, moved = self.point.chart, {name: w.clone() for name, w in self.point.weights.items()}
        direction = {name: d.clone() for name, d in self.direction.items()}
        chart.retract_(chart.begin(moved), direction, -lrs.to(next(iter(moved.values()))))
        return moved

    def changes(self, lrs: Tensor) -> Changes:
        """Return how many patterns of the batch the step would change.

        Args:
            lrs: learning rates to try, ``(candidates, members)``.
        """
        self.passes += len(lrs)
        size = sum(w.numel() * w.element_size() for w in self.point.weights.values())
        parts = [self._changes(some) for some in lrs.split(max(1, _BYTES // size))]
        return Changes(*(torch.cat(numbers) for numbers in zip(*parts, strict=True)))

    def _changes(self, lrs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        before, images = self.before, self.point.images
        candidates = [self.weights(one) for one in lrs]
        stacked = {name: torch.cat([one[name] for one in candidates]) for name in candidates[0]}
        after = self.evaluator.hidden_at(stacked, images.repeat(len(lrs), 1, 1), training=True)
        by_image, flips = [], []
        for words, z, channels in zip(before, after, self.channels, strict=True):
            new = pack(z).unflatten(0, (len(lrs), -1))
            is_other = (new != words).any(-2)
            if not z.sum().isfinite():
                is_other |= ~z.isfinite().all(1).unflatten(0, (len(lrs), -1))
            by_image.append(is_other.unflatten(-1, (images.shape[1], -1)).double().mean(-1))
            flips.append(flip_rate(words, new, channels))
        changed = torch.stack(by_image, -2)
        return changed.mean(-1), torch.stack(flips, -1), changed.mean(-2)
