"""Comparisons of plain modules; ``scaleinv.distance`` and the others come from here."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm

from scaleinv.minima import predictions, weights
from scaleinv.symmetry.graph import Weights
from scaleinv.symmetry.network import Network, UnsupportedNetworkError
from scaleinv.symmetry.trace import describe, read_weights


@dataclass(frozen=True)
class Barrier:
    """The loss along the straight segment between two networks.

    Attributes:
        positions: from 0, the first network, to 1, float64 ``(points,)``.
        losses: mean losses there, float64 ``(points,)``.
    """

    positions: Tensor
    losses: Tensor

    @property
    def height(self) -> float:
        """Largest excess of the loss over the straight line between its values at the ends; at least 0."""
        line = torch.lerp(self.losses[0], self.losses[-1], self.positions)
        return float((self.losses - line).max())


def distance(a: nn.Module, b: nn.Module, modulo: str = "scale", example: Tensor | None = None) -> float:
    """Compute the Euclidean distance between the weights of two models of one architecture.

    Args:
        a: a model that :func:`scaleinv.symmetry.trace.describe` covers.
        b: another one, with tensors of the same names and shapes.
        modulo: ``none`` compares the weights as they are, ``scale`` in the balanced gauge, ``permutation`` after
            matching the hidden channels of ``b`` to those of ``a``, ``both`` after both.
        example: a batch of inputs, which only chains of layers can do without.

    Raises:
        UnsupportedNetworkError: a model is not covered, or they are of different architectures.
        ValueError: no such ``modulo``, or a network has no balanced gauge.
    """
    network, (first, second) = _together([a, b], example)
    return float(weights.distance(network, first, second, modulo))


def average(models: Sequence[nn.Module], modulo: str = "scale", images: Tensor | None = None) -> nn.Module:
    """Average the weights of several models of one architecture; arguments and errors as in :func:`distance`.

    Args:
        models: the models; the channels of the others are matched to those of the first.
        modulo: see :func:`distance`.
        images: inputs, which only chains of layers can do without; the running statistics of batch norm, which cannot
            be averaged, are estimated from them.

    Returns:
        A new model, in evaluation mode.

    Raises:
        ValueError: there is no model, or batch norm and no images.
    """
    network, listed = _together(models, images)
    mean = weights.average(network, listed, modulo)
    made = deepcopy(models[0]).eval()
    made.load_state_dict(mean, strict=False)
    if _normalisers(made):
        if images is None:
            raise ValueError("the models have batch norm, whose running statistics cannot be averaged: give images")
        reestimate(made, images)
    return made


def barrier(
    a: nn.Module, b: nn.Module, images: Tensor, labels: Tensor, modulo: str = "scale", points: int = 25
) -> Barrier:
    """Evaluate the cross-entropy along the straight segment between two models; errors as in :func:`distance`.

    Args:
        a: a model.
        b: another one of the same architecture.
        images: inputs of the models; running statistics of batch norm are estimated from them at every point.
        labels: their labels.
        modulo: see :func:`distance`.
        points: number of points, both ends included.
    """
    network, (first, second) = _together([a, b], images)
    scratch = deepcopy(a).eval()

    def loss(at: Weights) -> float:
        scratch.load_state_dict(at, strict=False)
        if _normalisers(scratch):
            reestimate(scratch, images)
        return float(cross_entropy(_outputs(scratch, images).double(), labels))

    return Barrier(*weights.segment(network, first, second, loss, modulo, points))


def disagreement(a: nn.Module, b: nn.Module, images: Tensor) -> float:
    """Return the share of images that two models put into different classes."""
    return float(predictions.disagreement(_outputs(a, images), _outputs(b, images)))


def js_divergence(a: nn.Module, b: nn.Module, images: Tensor) -> float:
    """Return the mean Jensen-Shannon divergence of two models' predictions, in nats."""
    first, second = (_outputs(model, images).double().softmax(-1) for model in (a, b))
    return float(predictions.js_divergence(first, second))


def cka(a: nn.Module, b: nn.Module, images: Tensor, layer: str | None = None) -> float:
    """Compute the linear centred kernel alignment of two models' features; see :func:`predictions.cka`.

    Args:
        a: a model.
        b: another one, of any architecture.
        images: inputs of both.
        layer: name of a module of both, as in ``named_modules()``, whose outputs are compared; None for the outputs of
            the models. Hidden features depend on the gauge: compare balanced models.
    """
    return float(predictions.cka(*(_features(model, images, layer).flatten(1) for model in (a, b))))


def reestimate(model: nn.Module, images: Tensor, batch_size: int = 500) -> None:
    """Set the running statistics of every batch norm to those of ``images``, in place.

    Each batch of ``batch_size`` images counts equally, as in ``torch.optim.swa_utils.update_bn``.
    """
    parts = _normalisers(model)
    before = [(part.momentum, part.training) for part in parts]
    for part in parts:
        part.reset_running_stats()
        part.momentum, part.training = None, True
    with torch.no_grad():
        for some in images.split(batch_size):
            model(some)
    for part, (momentum, training) in zip(parts, before, strict=True):
        part.momentum, part.training = momentum, training


def _together(models: Sequence[nn.Module], example: Tensor | None) -> tuple[Network, list[dict[str, Tensor]]]:
    """Describe the first model, and read the weights of all."""
    if not models:
        raise ValueError("there is nothing to average: the list of networks is empty")
    network = describe(models[0], None if example is None else example[:2])
    shapes = {name: tuple(p.shape) for name, p in models[0].named_parameters()}
    for model in models[1:]:
        other = {name: tuple(p.shape) for name, p in model.named_parameters()}
        if other != shapes:
            name = next(n for n in [*shapes, *other] if shapes.get(n) != other.get(n))
            raise UnsupportedNetworkError(
                f"the models are of different architectures: {name} has the shape {shapes.get(name)} in one and"
                f" {other.get(name)} in another"
            )
        if str(model) != str(models[0]):
            raise UnsupportedNetworkError("the models are of different architectures: their parts differ when printed")
    return network, [read_weights(model, network.graph) for model in models]


def _normalisers(model: nn.Module) -> list[_BatchNorm]:
    return [part for part in model.modules() if isinstance(part, _BatchNorm) and part.track_running_stats]


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode, and every part of it back into its own mode."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes:
            part.training = mode


def _outputs(model: nn.Module, images: Tensor) -> Tensor:
    with _evaluating(model):
        return model(images)


def _features(model: nn.Module, images: Tensor, layer: str | None) -> Tensor:
    if layer is None:
        return _outputs(model, images)
    parts = dict(model.named_modules())
    if layer not in parts:
        raise ValueError(f"the model has no module {layer!r}; there are {', '.join(name for name in parts if name)}")
    seen: list[Tensor] = []
    handle = parts[layer].register_forward_hook(lambda part, inputs, output: seen.append(output))
    try:
        _outputs(model, images)
    finally:
        handle.remove()
    return seen[-1]
