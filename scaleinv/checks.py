"""Checks of invariance that users can run on their own models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scaleinv.losses import CrossEntropy, Loss
from scaleinv.optim import SGD, Adam
from scaleinv.optim.base import Optimizer, Point
from scaleinv.spaces import CycleSpace, FixedWeightSpace, GSpace, WeightSpace
from scaleinv.spaces.base import ParameterSpace
from scaleinv.symmetry.group import random_scales, rescale
from scaleinv.symmetry.network import Network
from scaleinv.symmetry.trace import describe, read_weights
from scaleinv.training.autograd import make_engine
from scaleinv.training.stack import move_

ONCE, EVERY_STEP = MODES = ("once before", "before every step")
ORIGINAL, RESCALED = ("W", "rescaled W")
# Relative difference of losses that still counts as round-off: float64's, amplified by a few dozen steps.
TOLERANCE = 1e-6

SPACES: dict[str, ParameterSpace] = {
    "weight": WeightSpace(),
    "fixed": FixedWeightSpace(),
    "G-space": GSpace("maxprod", fix="keep", normalise="balanced"),
    "cycle": CycleSpace(),
}
CROSS_ENTROPY = CrossEntropy()
OPTIMIZERS: dict[str, tuple[Optimizer, float]] = {"SGD": (SGD(), 0.03), "Adam": (Adam(), 1e-3)}


@dataclass(frozen=True)
class Comparison:
    """Training from W and from a rescaled W, with the same batches.

    Attributes:
        space: label of the space.
        optimizer: label of the optimizer.
        lr: learning rate.
        mode: whether W was rescaled ``once before`` training or ``before every step``.
        original: loss on all images before each step and after the last, from W, shape ``(steps + 1,)``.
        rescaled: the same losses, from the rescaled W.
    """

    space: str
    optimizer: str
    lr: float
    mode: str
    original: Tensor
    rescaled: Tensor

    @property
    def difference(self) -> float:
        """Largest difference of the two losses, relative to the first loss; infinite if one diverged."""
        gap = (self.original - self.rescaled).abs().max() / self.original[0].abs()
        return gap.item() if gap.isfinite() else float("inf")

    @property
    def is_invariant(self) -> bool:
        """Whether the two are the same up to round-off."""
        return self.difference <= TOLERANCE


def scale_check(
    model: nn.Module | Network,
    images: Tensor,
    labels: Tensor,
    spaces: Mapping[str, ParameterSpace] = SPACES,
    optimizers: Mapping[str, tuple[Optimizer, float]] = OPTIMIZERS,
    steps: int = 30,
    batch_size: int = 64,
    sigma: float = 1.0,
    seed: int = 0,
    loss: Loss = CROSS_ENTROPY,
) -> list[Comparison]:
    """Train from W and from a randomly rescaled W, in every space with every optimizer.

    An invariant method gives the same losses for both. Everything is computed in float64.

    Args:
        model: a module (its weights are W; it is not changed), or a network (W is drawn with ``seed``).
        images: inputs, ``(n, *shape)``; a chain takes them flattened.
        labels: class of each image, ``(n,)``.
        spaces: label -> space.
        optimizers: label -> (optimizer, learning rate).
        steps: number of training steps.
        batch_size: images per step: the first of the set, then the next, and from its start again at its end.
        sigma: spread of ``log lambda``.
        seed: seed of the rescalings, and of W if it is drawn.
        loss: loss to minimise and compare.

    Returns:
        One comparison per space, optimizer and mode.

    Raises:
        UnsupportedNetworkError: the model has a part that is not described.
        UnsupportedSpaceError: a space cannot take the model.
        ValueError: a weight or an image is NaN or infinite, or the data do not fit the network.
    """
    if isinstance(model, Network):
        network, weights = model, model.init([seed], torch.float64)
        statistics = model.buffers(1, torch.float64)
    else:
        network = describe(model, images[:1])
        weights = {name: w.double().cpu()[None] for name, w in read_weights(model, network.graph).items()}
        statistics = {name: _double(b.detach().cpu())[None] for name, b in model.named_buffers()}
    images, labels = images.flatten(1).double().cpu(), labels.cpu()
    _check_data(network, images, labels)
    comparisons = []
    for space_name, space in spaces.items():
        for optimizer_name, (optimizer, lr) in optimizers.items():
            for mode in MODES:
                lines = []
                for spread in (0.0, sigma):
                    generator = torch.Generator().manual_seed(seed)
                    draws = [random_scales(network.graph, spread, generator=generator) for _ in range(steps)]
                    start = rescale(network.graph, weights, draws[0]) if mode == ONCE else weights
                    between = draws if mode == EVERY_STEP and spread else []
                    lines.append(
                        _losses(
                            *(network, start, statistics, images, labels, space, optimizer),
                            *(lr, steps, batch_size, between, loss),
                        )
                    )
                comparisons.append(Comparison(space_name, optimizer_name, lr, mode, *lines))
    return comparisons


def report(comparisons: list[Comparison]) -> str:
    """Return a table of the verdicts, one line per comparison."""
    width = max(len(c.space) for c in comparisons)
    lines = [f"{'space':<{width}} {'optimizer':<10} {'W rescaled':<18} {'difference':>10}  invariant"]
    for c in comparisons:
        verdict = "yes" if c.is_invariant else "no"
        lines.append(f"{c.space:<{width}} {c.optimizer:<10} {c.mode:<18} {c.difference:>10.1e}  {verdict}")
    return "\n".join(lines)


def _check_data(network: Network, images: Tensor, labels: Tensor) -> None:
    inputs, outputs = network.features, network.outputs
    if images.shape != (len(labels), inputs):
        raise ValueError(f"{len(labels)} labels and {inputs} inputs do not fit images of shape {tuple(images.shape)}")
    if not images.isfinite().all():
        raise ValueError("images hold NaN or infinite numbers, from which nothing can be compared")
    if labels.is_floating_point():
        if labels.shape != (len(images), outputs) or not labels.isfinite().all():
            raise ValueError(f"targets that are numbers must be finite, {outputs} for each image")
    elif not len(labels) or labels.min() < 0 or labels.max() >= outputs:
        raise ValueError(f"labels must be given, each from 0 to {outputs - 1}")


def _losses(
    network: Network,
    weights: dict[str, Tensor],
    statistics: dict[str, Tensor],
    images: Tensor,
    labels: Tensor,
    space: ParameterSpace,
    optimizer: Optimizer,
    lr: float,
    steps: int,
    batch_size: int,
    scalings: Sequence[Tensor],
    loss: Loss,
) -> Tensor:
    """Train and return the loss on all images before each step and after the last.

    Args:
        network: description of the network.
        weights: weights that the chart is made at, ``(1, own shape)``.
        statistics: the module's buffers before training, ``(1, own shape)``; not changed.
        images: all images, ``(n, features)``.
        labels: class of each image, ``(n,)``, or numbers, ``(n, outputs)``.
        space: space to train in.
        optimizer: optimizer to train with.
        lr: learning rate.
        steps: number of training steps.
        batch_size: images per step.
        scalings: rescaling factors ``(K,)`` applied before each step, one tensor per step; empty for none.
        loss: loss to minimise.
    """
    statistics = {name: b.clone() for name, b in statistics.items()}
    engine = make_engine(network, statistics)
    second = make_engine(network, {name: b.clone() for name, b in statistics.items()})
    rule, graph = optimizer.transformation(), network.graph
    step = torch.tensor([-lr], dtype=torch.float64)
    chart = space.chart(graph, weights)
    weights = chart.start()
    state = rule.init(weights)
    targets = loss.targets(labels[None], network.outputs, images.dtype)
    losses = []
    for k in range(steps):
        if scalings:
            chart = chart.at(rescale(graph, weights, scalings[k]))
            weights = chart.start()
        losses.append(loss.score(engine.logits(weights, images[None]), labels[None]).loss.mean(-1))
        index = torch.arange(k * batch_size, (k + 1) * batch_size) % len(labels)
        batch = (images[None, index], targets[..., index], loss)
        logits, gradient = engine.gradient(weights, *batch)
        elsewhere = lambda w, batch=batch: second.gradient(w, *batch)[1].whole(w)  # noqa: E731
        point = Point(weights, batch[0], logits, network, chart, statistics, elsewhere)
        state = move_(rule, point, gradient, state, step)
    losses.append(loss.score(engine.logits(weights, images[None]), labels[None]).loss.mean(-1))
    return torch.cat(losses)


def _double(buffer: Tensor) -> Tensor:
    """Return a buffer in float64, one of whole numbers as it is."""
    return buffer.double() if buffer.is_floating_point() else buffer.clone()
