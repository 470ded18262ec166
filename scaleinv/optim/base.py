"""Optimizers as data: pure pairs of functions that turn gradients into directions.

A transformation knows neither the learning rate nor the space. A chart's retraction multiplies the direction by
``-lr``, one number per member, so every optimizer can train a whole learning-rate grid at once.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from scaleinv.spaces import _foreach as foreach
from scaleinv.spaces.base import Chart, Coords
from scaleinv.symmetry.members import PerMember
from scaleinv.symmetry.network import Network

# Nested dicts with tensors as leaves, which is what a checkpoint can store.
State = dict[str, Any]
# How parts of a state follow when weights become ``r w``, r a number per weight: one that is multiplied by r^p has the
# power p. A power stands for everything below its key.
Powers = dict[str, Any]
LIKE_WEIGHTS, UNCHANGED, LIKE_GRADIENTS, LIKE_SQUARED_GRADIENTS = 1, 0, -1, -2


@dataclass
class Point:
    """Where a step begins, for rules that need more than the gradient.

    Attributes:
        weights: tensors ``(members, own shape)``, in the chart's own gauge; not to be changed.
        images: images of the batch, ``(groups, batch, features)``; members are split evenly over the groups.
        logits: outputs for these images, ``(members, classes, batch)``.
        network: network that is trained.
        chart: chart that it is trained in.
        statistics: running statistics and other buffers, ``(members, ...)`` by name; not to be changed.
        gradient: function from weights ``(members, own shape)``, contiguous, to the gradient of the batch's loss there,
            in memory that its next call overwrites; None where a step has no second gradient.
    """

    weights: dict[str, Tensor]
    images: Tensor
    logits: Tensor
    network: Network
    chart: Chart
    statistics: Mapping[str, Tensor] = field(default_factory=dict)
    gradient: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None

    def coords(self) -> Coords:
        """Return the coordinates of the weights, computed at the first call; not to be changed."""
        return self._coords

    @cached_property
    def _coords(self) -> Coords:
        return self.chart.to_coords(self.weights)


class GradientTransformation(NamedTuple):
    """An optimizer without its learning rate.

    Attributes:
        init: ``coords -> state``.
        update: ``(grads, state, point) -> (direction, state)``. It owns ``grads`` and ``state``; it returns the state
            in the same tensors; the direction shares no memory with it. The direction is zero where gradients and
            coordinates are zero. See :func:`kept`, which enforces this.
        powers: for every key of the state how it follows a change of the gauge: what it would be if all gradients so
            far had been taken at the rescaled weights (``LIKE_GRADIENTS`` for sums of gradients). None if nobody
            has said; such a rule with a state refuses gauges.
    """

    init: Callable[[Coords], State]
    update: Callable[[Coords, State, Point], tuple[Coords, State]]
    powers: Powers | None = None


# The direction is the gradient. Where ``rule is IDENTITY``, a step need not write the gradient out.
IDENTITY = GradientTransformation(lambda coords: {}, lambda grads, state, point: (grads, state), {})


@dataclass(frozen=True, kw_only=True)
class Optimizer(ABC):
    """Options of an optimizer. Subclasses are frozen dataclasses; their fields are its configuration keys.

    Attributes:
        memory: if False, the state is forgotten after every step, as in the public code of the source, which makes
            a new optimizer each step (its "G-Adam" is sign descent: maths.md, 5.2.1).
        clip: largest norm of a member's gradient in the coordinates, see :func:`clipped`; 0 does not clip.
        is_equivariant: whether its steps in weight space commute with every rescaling, where nothing is clipped.
    """

    is_equivariant: ClassVar[bool] = False
    memory: bool = True
    clip: PerMember = 0.0

    def __post_init__(self) -> None:
        """Check the options."""
        clipped(self.clip)

    @property
    def needs_labels(self) -> bool:
        """Whether the rule is about probabilities of classes, so that targets that are numbers are refused."""
        return False

    @abstractmethod
    def rule(self) -> GradientTransformation:
        """Return the update rule, with its memory."""

    def check(self, network: Network) -> None:
        """Check that it can train the network, before anything is trained.

        Raises:
            ValueError: it cannot; the message says why.
        """
        return

    def transformation(self) -> GradientTransformation:
        """Return the update rule with its contract enforced, after clipping, without its memory if so chosen."""
        rule, clipping = self.rule(), clipped(self.clip)
        rule = rule if self.memory else forgetful(rule)
        return kept(rule if clipping is IDENTITY else chain(clipping, rule), type(self).__name__)


def add_decayed(weight_decay: PerMember) -> GradientTransformation:
    """Add ``weight_decay * coords``: L2 regularisation before an optimizer's rule, decoupled decay after it."""
    if not isinstance(weight_decay, Tensor) and weight_decay == 0:
        return IDENTITY

    def update(grads: Coords, state: State, point: Point) -> tuple[Coords, State]:
        coords = point.coords()
        foreach.add_(list(grads.values()), [coords[n] for n in grads], alpha=weight_decay)
        return grads, state

    return GradientTransformation(lambda coords: {}, update, {})


def clipped(clip: PerMember) -> GradientTransformation:
    """Shorten gradients: ``g <- g min(1, clip / |g|)`` with ``|g|^2`` the sum of squares over a member's coordinates.

    As ``torch.nn.utils.clip_grad_norm_``, but without 1e-6 beside the norm, so that a gradient that is short enough
    keeps its bits. A gradient that is not finite makes its member diverge.

    Args:
        clip: largest norm; 0 does not clip.

    Raises:
        ValueError: it is negative.
    """
    if not (torch.as_tensor(clip) >= 0).all():
        raise ValueError(f"clip must be at least 0, got {clip}")
    if not isinstance(clip, Tensor) and clip == 0:
        return IDENTITY

    def update(grads: Coords, state: State, point: Point) -> tuple[Coords, State]:
        # In float64, in which the square of no float32 overflows.
        parts = [torch.linalg.vector_norm(g.flatten(1), dim=1, dtype=torch.float64) for g in grads.values()]
        norm = torch.stack(parts).square().sum(0).sqrt()
        factor = torch.where(norm > clip, clip / norm, 1.0).where(norm.isfinite(), torch.nan)
        if isinstance(clip, Tensor):
            factor = torch.where(clip > 0, factor, 1.0)
        foreach.mul_(list(grads.values()), factor)
        return grads, state

    return GradientTransformation(lambda coords: {}, update, {})


def chain(*rules: GradientTransformation) -> GradientTransformation:
    """Apply transformations one after the other; return :data:`IDENTITY` if none of them does anything."""
    active = {str(i): rule for i, rule in enumerate(rules) if rule is not IDENTITY}
    if not active:
        return IDENTITY

    def init(coords: Coords) -> State:
        return {key: rule.init(coords) for key, rule in active.items()}

    def update(grads: Coords, state: State, point: Point) -> tuple[Coords, State]:
        for key, rule in active.items():
            grads, state[key] = rule.update(grads, state[key], point)
        return grads, state

    powers = {key: rule.powers for key, rule in active.items()}
    return GradientTransformation(init, update, None if None in powers.values() else powers)


def forgetful(rule: GradientTransformation) -> GradientTransformation:
    """Start the rule's state anew at every step."""
    if rule is IDENTITY:
        return IDENTITY

    def update(grads: Coords, state: State, point: Point) -> tuple[Coords, State]:
        direction, _ = rule.update(grads, rule.init(grads), point)
        return direction, state

    return GradientTransformation(lambda coords: {}, update, {})


def kept(rule: GradientTransformation, name: str) -> GradientTransformation:
    """Enforce the contract of :class:`GradientTransformation` on a rule.

    If an update returns new tensors as its state, as rules written for other libraries do, they are copied into the
    state's own tensors, which checkpoints and captured steps rely on. The first step checks that the direction has the
    gradients' names and shapes, and that it shares no memory with the state or the weights, which the retraction would
    overwrite.

    Args:
        rule: the transformation.
        name: name of the optimizer, for messages.

    Raises:
        ValueError: (from ``init`` or ``update``) the contract is broken in a way that copying cannot repair.
    """
    if rule is IDENTITY:
        return IDENTITY
    is_checked = False
    owner: State = {}
    # The tensors of ``owner`` in other dicts, because the rule may replace entries; made again after it has.
    lent: State = {}

    def init(coords: Coords) -> State:
        state = rule.init(coords)
        for path, leaf in _leaves(state):
            if not isinstance(leaf, Tensor):
                raise ValueError(f"{name}: state {path} must be a tensor, got {type(leaf).__name__}")
        taken = {_memory(c) for c in coords.values()}

        def own(leaf: Tensor) -> Tensor:
            """Return the tensor, or a copy if it shares memory with a coordinate or another part of the state."""
            leaf = leaf.clone() if _memory(leaf) in taken else leaf
            taken.add(_memory(leaf))
            return leaf

        return _copy(state, own)

    def update(grads: Coords, state: State, point: Point) -> tuple[Coords, State]:
        nonlocal is_checked, owner, lent
        if owner is not state:
            owner, lent = state, _copy(state)
        shapes = {} if is_checked else {key: g.shape for key, g in grads.items()}
        direction, new = rule.update(grads, lent, point)
        if new is not lent or not _is_own(state, new):
            _copy_back(state, new, name)
            owner = {}
        if not is_checked:
            _check(direction, shapes, state, point, name)
            is_checked = True
        return direction, state

    return GradientTransformation(init, update, rule.powers)


def _is_own(state: State, new: State) -> bool:
    """Whether ``new`` consists of the state's own tensors."""
    for key, own in state.items():
        back = new.get(key)
        if back is not own and not (type(own) is type(back) is dict and _is_own(own, back)):
            return False
    return len(new) == len(state)


def _copy_back(state: State, new: State, name: str) -> None:
    """Copy every tensor of ``new`` that is not the state's own into the state."""
    own, back = dict(_leaves(state)), dict(_leaves(new))
    if own.keys() != back.keys():
        raise ValueError(f"{name}: the state has {sorted(own)}, an update returned {sorted(back)}")
    moved = {path: leaf for path, leaf in back.items() if leaf is not own[path]}
    memory = {_memory(leaf) for leaf in own.values()}
    # Two parts of a state may have been swapped: copy both before either is overwritten.
    moved = {path: leaf.clone() if _memory(leaf) in memory else leaf for path, leaf in moved.items()}
    for path, leaf in moved.items():
        if leaf.shape != own[path].shape:
            raise ValueError(
                f"{name}: state {path} has shape {tuple(own[path].shape)}, an update returned {tuple(leaf.shape)}"
            )
        own[path].copy_(leaf)


def _check(direction: Coords, shapes: dict[str, torch.Size], state: State, point: Point, name: str) -> None:
    if shapes != {key: d.shape for key, d in direction.items()}:
        raise ValueError(f"{name}: the direction must have the names and shapes of the gradients")
    taken = {_memory(w): f"the weights {key}" for key, w in point.weights.items()}
    taken |= {_memory(leaf): f"the state {path}" for path, leaf in _leaves(state)}
    for key, d in direction.items():
        if (path := taken.get(_memory(d))) is not None:
            raise ValueError(f"{name}: the direction of {key} shares memory with {path}; return a copy, .clone()")


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _leaves(nest: Any, path: str = "") -> list[tuple[str, Any]]:
    if not isinstance(nest, dict):
        return [(path, nest)]
    return [leaf for key, part in nest.items() for leaf in _leaves(part, f"{path}/{key}" if path else str(key))]


def _copy(state: State, copy: Callable[[Tensor], Tensor] | None = None) -> State:
    """Return new nested dicts with the same tensors, or with ``copy(tensor)`` in their places."""
    return {
        key: _copy(part, copy) if type(part) is dict else copy(part) if copy else part for key, part in state.items()
    }


def zeros_like(coords: Coords) -> Coords:
    """Return zeros in the shapes of ``coords``."""
    return {name: torch.zeros_like(c) for name, c in coords.items()}
