"""By how much a method notices that a network was rescaled: its measured invariance defect, and its cost."""

import itertools
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from scaleinv.gauging import Gauge, NoGauge
from scaleinv.losses import Loss
from scaleinv.optim import SGD
from scaleinv.optim.base import Optimizer, Point, State
from scaleinv.spaces import WeightSpace
from scaleinv.spaces.base import Chart, ParameterSpace
from scaleinv.starts.base import Start
from scaleinv.symmetry.group import random_scales, rescale
from scaleinv.symmetry.network import Network
from scaleinv.training.autograd import make_engine
from scaleinv.training.regauge import regauge_
from scaleinv.training.stack import move_

ONCE, EVERY_STEP = MODES = ("once before", "before every step")
RANDOM, POWERS = SCALES = ("random numbers", "powers of two")


@dataclass(frozen=True)
class Method:
    """What is measured.

    Attributes:
        space: space to train in.
        optimizer: optimizer to train with.
        lr: learning rate.
        gauge: what is done to the weights before training, rescaled ones too.
        during: what is done to them between the steps.
    """

    space: ParameterSpace
    optimizer: Optimizer
    lr: float
    gauge: Start
    during: Gauge = field(default_factory=NoGauge)


@dataclass(frozen=True)
class Setting:
    """What all methods have in common.

    Attributes:
        network: description of the network.
        images: images to train on, in float64, ``(n, features)``.
        labels: class of each image, ``(n,)``.
        seeds: seeds of the members: of the initial weights and of the rescalings.
        steps: number of training steps.
        batch_size: images per step: the first of the set, then the next, and from its start again at its end.
        sigma: spread of ``log lambda``.
        loss: loss to minimise.
        charts: charts at the starting weights, which all optimizers share; filled when they are first needed.
    """

    network: Network
    images: Tensor
    labels: Tensor
    seeds: Sequence[int]
    steps: int
    batch_size: int
    sigma: float
    loss: Loss
    charts: dict[tuple[str, ...], Chart] = field(default_factory=dict)

    def chart(self, method: Method, *scales: str) -> Chart:
        """Return the chart of a method at W, or at W rescaled by one of ``SCALES``."""
        key = (repr(method.space), repr(method.gauge), *scales)
        if key not in self.charts:
            weights = self.network.init(self.seeds, torch.float64)
            for kind in scales:
                weights = rescale(self.network.graph, weights, _Draws(self, kind)())
            started = method.gauge.apply(self.network, weights, self.seeds)
            self.charts[key] = method.space.chart(self.network.graph, started)
        return self.charts[key]


def measure_defects(method: Method, setting: Setting) -> dict[tuple[str, str], Tensor]:
    """Train from W and from rescaled W's, and compare the outputs on all images after the last step.

    W is rescaled once before training or before every step; by random numbers, or by the same numbers rounded to powers
    of two, for which an invariant method computes the same bits.

    Returns:
        ``max |f - f'| / max |f|`` over images and outputs by mode and scales, ``(seeds,)``; 0 only if all bits are
        equal, infinite if one of the two is not finite.
    """
    plain = _Run(method, setting, setting.chart(method))
    for k in range(setting.steps):
        plain.step(k)
    wanted, defects = plain.outputs(), {}
    for mode, scales in itertools.product(MODES, SCALES):
        draw = _Draws(setting, scales)
        other = _Run(method, setting, setting.chart(method, scales) if mode == ONCE else setting.chart(method))
        for k in range(setting.steps):
            if mode == EVERY_STEP:
                other.rescale(draw())
            other.step(k)
        gap, size = (f.abs().flatten(1).amax(1) for f in (wanted - other.outputs(), wanted))
        defects[mode, scales] = torch.where(gap.isfinite() & size.isfinite(), gap / size, torch.inf)
    return defects


class _Draws:
    """Draws rescalings, for every seed from a generator of its own."""

    def __init__(self, setting: Setting, scales: str) -> None:
        self._setting, self._powers_of_two = setting, scales == POWERS
        self._generators = [torch.Generator().manual_seed(seed) for seed in setting.seeds]

    def __call__(self) -> Tensor:
        """Return the next scales, ``(seeds, K)``."""
        graph, options = self._setting.network.graph, (self._setting.sigma, self._powers_of_two)
        return torch.stack([random_scales(graph, *options, generator) for generator in self._generators])


def measure_cost(method: Method, setting: Setting, repeats: int) -> float:
    """Time a step of a method relative to one of SGD in weight space; the two take turns in this process.

    Returns:
        The ratio of the median times. Steps before which the gauge is changed have a median of their own, and count as
        often as they come.
    """
    plain = replace(method, space=WeightSpace(), optimizer=SGD(), during=NoGauge())
    runs = [_Run(each, setting, setting.chart(each)) for each in (method, plain)]
    times: list[list[float]] = [[], []]
    for k in range(repeats + 1):
        for run, seconds in zip(runs, times, strict=True):
            began = time.perf_counter()
            run.step(k)
            seconds.append(time.perf_counter() - began)
    # The first step makes the buffers.
    by_kind: dict[bool, list[float]] = {}
    for k, taken in enumerate(times[0]):
        if k:
            by_kind.setdefault(method.during.is_due(k), []).append(taken)
    own = sum(len(some) * statistics.median(some) for some in by_kind.values()) / repeats
    return own / statistics.median(times[1][1:])


class _Run:
    """A stack, one member per seed, trained by one method."""

    def __init__(self, method: Method, setting: Setting, chart: Chart) -> None:
        self._setting, self._chart, network = setting, chart, setting.network
        self._weights = chart.start()
        self._statistics = network.buffers(len(setting.seeds), torch.float64)
        self._engine = make_engine(network, self._statistics)
        self._second = make_engine(network, {name: b.clone() for name, b in self._statistics.items()})
        self._during = method.during
        self._rule = method.optimizer.transformation()
        self._state: State = self._rule.init(self._weights)
        self._targets = setting.loss.targets(setting.labels[None], network.outputs, setting.images.dtype)
        self._lrs = torch.full((len(setting.seeds),), -method.lr, dtype=torch.float64)

    def rescale(self, scales: Tensor) -> None:
        """Go on from other weights of the same functions, in the same chart."""
        graph = self._setting.network.graph
        self._chart = self._chart.at(rescale(graph, self._weights, scales))
        self._weights = self._chart.start()

    def step(self, k: int) -> None:
        """Take the k-th step."""
        setting = self._setting
        index = torch.arange(k * setting.batch_size, (k + 1) * setting.batch_size) % len(setting.labels)
        images = setting.images[None, index]
        batch = (images, self._targets[..., index], setting.loss)
        if self._during.is_due(k):
            there = lambda: self._second.gradient(self._weights, *batch)[1].whole(self._weights)  # noqa: E731
            regauge_(self._during, setting.network.graph, self._weights, self._state, self._rule, there)
        logits, gradient = self._engine.gradient(self._weights, *batch)
        place = (self._weights, images, logits, setting.network, self._chart, self._statistics)
        point = Point(*place, lambda weights: self._second.gradient(weights, *batch)[1].whole(weights))
        self._state = move_(self._rule, point, gradient, self._state, self._lrs)

    def outputs(self) -> Tensor:
        """Compute the outputs on all images."""
        return self._engine.logits(self._weights, self._setting.images[None]).clone()


def methods(
    spaces: Mapping[str, ParameterSpace],
    optimizers: Mapping[str, tuple[Optimizer, float]],
    gauges: Mapping[str, Start],
    during: Mapping[str, Gauge],
) -> dict[tuple[str, str, str], Method]:
    """List every optimizer in every space, and in the first space after and with every gauge too; by their labels.

    Other spaces than weight space choose a gauge themselves, so the first space should be weight space.

    Args:
        spaces: spaces by label.
        optimizers: optimizers and their learning rates, by label.
        gauges: what is done to the weights before training, by label; the first in all spaces.
        during: what is done to them between the steps of a training from the first of ``gauges``, by other labels.
    """
    (first, drawn), *others = gauges.items()
    listed = {}
    for i, (space, own) in enumerate(spaces.items()):
        ways: dict[str, tuple[Start, Gauge]] = {first: (drawn, NoGauge())}
        if i == 0:
            ways |= {label: (start, NoGauge()) for label, start in others}
            ways |= {label: (drawn, gauge) for label, gauge in during.items()}
        for gauge, way in ways.items():
            for optimizer, (rule, lr) in optimizers.items():
                listed[space, optimizer, gauge] = Method(own, rule, lr, *way)
    return listed
