"""Optimizers as data: pure pairs of functions that turn gradients into directions.

A transformation never sees a learning rate: a chart's retraction multiplies the direction by ``-lr``, one number a
member, so every optimizer takes a whole learning-rate grid without knowing. It never knows the space either.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

Coords = dict[str, Tensor]
# A nest of dicts with tensors as leaves, which is what a checkpoint can store.
State = dict[str, Any]


class GradientTransformation(NamedTuple):
    """An optimizer without its learning rate.

    Attributes:
        init: ``coords -> state``.
        update: ``(grads, state, coords) -> (direction, state)``. It may use the memory of ``grads`` and ``state``,
            and keeps zeros where gradients and coordinates are zero.
        reads_coords: whether ``update`` needs ``coords`` (weight decay does); if not, it is given ``{}``.
        is_identity: whether the direction is the gradient, so that a chart may descend without writing it out.
    """

    init: Callable[[Coords], State]
    update: Callable[[Coords, State, Coords], tuple[Coords, State]]
    reads_coords: bool = False
    is_identity: bool = False


@dataclass(frozen=True, kw_only=True)
class Optimizer(ABC):
    """Options of an optimizer. Subclasses are frozen dataclasses; their fields are its configuration keys.

    Attributes:
        memory: if False, the state is forgotten after every step, as in the public code of the source, which makes
            a new optimizer each step (its "G-Adam" is sign descent: maths.md, 5.2.1).
    """

    memory: bool = True

    @abstractmethod
    def rule(self) -> GradientTransformation:
        """Return the update rule, with its memory."""

    def transformation(self) -> GradientTransformation:
        """Return the update rule, without its memory if ``memory`` is False."""
        rule = self.rule()
        return rule if self.memory else forgetful(rule)


def identity() -> GradientTransformation:
    """Return the transformation whose direction is the gradient."""
    return GradientTransformation(lambda coords: {}, lambda grads, state, coords: (grads, state), is_identity=True)


def add_decayed(weight_decay: float) -> GradientTransformation:
    """Add ``weight_decay * coords``: L2 regularisation before an optimizer's rule, decoupled decay behind it."""
    if weight_decay == 0:
        return identity()

    def update(grads: Coords, state: State, coords: Coords) -> tuple[Coords, State]:
        torch._foreach_add_(list(grads.values()), [coords[n] for n in grads], alpha=weight_decay)
        return grads, state

    return GradientTransformation(lambda coords: {}, update, reads_coords=True)


def chain(*rules: GradientTransformation) -> GradientTransformation:
    """Apply transformations one after the other."""

    def init(coords: Coords) -> State:
        return {str(i): state for i, rule in enumerate(rules) if (state := rule.init(coords))}

    def update(grads: Coords, state: State, coords: Coords) -> tuple[Coords, State]:
        for i, rule in enumerate(rules):
            grads, new = rule.update(grads, state.get(str(i), {}), coords)
            if new:
                state[str(i)] = new
        return grads, state

    reads_coords = any(rule.reads_coords for rule in rules)
    return GradientTransformation(init, update, reads_coords, all(rule.is_identity for rule in rules))


def forgetful(rule: GradientTransformation) -> GradientTransformation:
    """Start the rule's state anew at every step."""

    def update(grads: Coords, state: State, coords: Coords) -> tuple[Coords, State]:
        direction, _ = rule.update(grads, rule.init(grads), coords)
        return direction, state

    return GradientTransformation(lambda coords: {}, update, rule.reads_coords, rule.is_identity)


def zeros_like(coords: Coords) -> Coords:
    """Return zeros in the shapes of ``coords``."""
    return {name: torch.zeros_like(c) for name, c in coords.items()}
