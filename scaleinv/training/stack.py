"""A stack of members, trained as one tensor program."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from scaleinv.optim.base import GradientTransformation, State
from scaleinv.spaces.base import Chart
from scaleinv.training.capture import CapturedStep
from scaleinv.training.cell import Cell, Member
from scaleinv.training.chain import Backprop, Gradient, Score, one_hot, score
from scaleinv.training.data import Slab, Split, batch_order


@dataclass(frozen=True)
class EpochResult:
    """What the members of a stack reached in one epoch; tensors ``(members,)`` on the CPU.

    Attributes:
        train_loss: mean cross-entropy of the epoch's batches, each before its step; None before the first epoch.
        train_accuracy: likewise.
        val_loss: mean cross-entropy on the validation images after the epoch.
        val_accuracy: likewise.
        test_loss: likewise on the test images, or None if they are the validation images.
        test_accuracy: likewise.
        first_bad_step: first step (from 1) whose loss was not finite, or 0.
        probed: what the probes measured, by column.
    """

    train_loss: Tensor | None
    train_accuracy: Tensor | None
    val_loss: Tensor
    val_accuracy: Tensor
    test_loss: Tensor | None
    test_accuracy: Tensor | None
    first_bad_step: Tensor
    probed: dict[str, Tensor]


def move_(
    chart: Chart,
    rule: GradientTransformation,
    weights: dict[str, Tensor],
    gradient: Gradient,
    state: State,
    step: Tensor,
) -> State:
    """Move weights in place by one step of an optimizer in the coordinates of a chart.

    Args:
        chart: which coordinates.
        rule: the optimizer.
        weights: the point, in the chart's own gauge.
        gradient: there; it is used up.
        state: of the optimizer; its memory may be used.
        step: factor of each member, ``(members,)``: minus its learning rate.

    Returns:
        The optimizer's new state.
    """
    if rule.is_identity:
        chart.descend_(weights, gradient, step)
        return state
    coords = chart.to_coords(weights) if rule.reads_coords else {}
    direction, state = rule.update(chart.pullback_(weights, gradient.whole(weights)), state, coords)
    chart.retract_(weights, direction, step)
    return state


class Stack:
    """Members of one cell whose weights, gradients and optimizer state are stacked tensors.

    Attributes:
        captures: whether steps are captured once and replayed, which only a GPU can do.
    """

    def __init__(self, cell: Cell, members: Sequence[Member]) -> None:
        """Initialise the members, choose their chart and make the optimizer's state.

        Args:
            cell: what to train.
            members: a list from :func:`next_stack`.
        """
        self.cell = cell
        self.members = list(members)
        self.device = cell.dataset.scale.device
        dtype = cell.dataset.scale.dtype
        self.seeds = list(dict.fromkeys(m.seed for m in members))
        graph = cell.network.graph.to(self.device)
        network = replace(cell.network, graph=graph)
        seeds = [m.seed for m in members]
        drawn = {name: w.to(self.device) for name, w in network.init(seeds, dtype).items()}
        space: Any = cell.space
        if members[0].value is not None:
            values = torch.tensor([m.value for m in members], dtype=dtype, device=self.device)
            space = replace(space, value=values)
        self.chart = space.chart(graph, cell.start.apply(graph, drawn, seeds))
        self.weights = self.chart.start()
        self._step_size = -torch.tensor([m.lr for m in members], dtype=torch.float64).to(self.device, dtype)
        self._rule = cell.optimizer.transformation()
        self._backprop = Backprop(network)
        self._slab = Slab(cell.dataset)
        self.state = self._rule.init(self.weights)
        self._readings = [probe.attach(self.chart, self.weights) for probe in cell.probes]
        count = len(members)
        # Kept until a slab is scored, so that a step need not.
        slab = min(self._steps_per_slab() * cell.batch_size, len(cell.dataset.train))
        self._logits = torch.empty(count, network.sizes[-1], slab, dtype=dtype, device=self.device)
        self._steps = torch.zeros((), dtype=torch.int64, device=self.device)
        self.first_bad_step = torch.zeros(count, dtype=torch.int64, device=self.device)
        self.captures = self.device.type == "cuda"
        self._captured: CapturedStep | None = None

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that training changes, by name: what a checkpoint must hold."""
        flat = {f"weights/{n}": w for n, w in self.weights.items()} | flatten(self.state, "state")
        for i, reading in enumerate(self._readings):
            flat |= flatten(reading.tensors(), f"probe/{i}")
        return flat | {"steps": self._steps, "first_bad_step": self.first_bad_step}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Copy the tensors of a checkpoint into place."""
        for name, own in self.tensors().items():
            own.copy_(tensors[name])

    def step(self, images: Tensor, targets: Tensor) -> Tensor:
        """Take one step with every member.

        Args:
            images: float ``(seeds, batch, features)``.
            targets: probability of every class, ``(seeds, classes, batch)``.

        Returns:
            The outputs before the step, ``(members, classes, batch)``, until the next one overwrites them.
        """
        logits, gradient = self._backprop.gradient(self.weights, images, targets)
        self.state = move_(self.chart, self._rule, self.weights, gradient, self.state, self._step_size)
        for reading in self._readings:
            reading.after_step(self.weights)
        return logits

    def train_epoch(self, epoch: int, after_step: Callable[[], object] | None = None) -> Score:
        """Train one epoch and return the summed scores of its batches, each taken before its step.

        Args:
            epoch: counted from 1; with the seeds it decides the order of the batches.
            after_step: called after every step, without waiting for the device.
        """
        data, size = self.cell.dataset, self.cell.batch_size
        order = torch.stack([batch_order(seed, epoch, len(data.train)) for seed in self.seeds]).to(self.device)
        parts = []
        for index in order.split(self._steps_per_slab() * size, 1):
            images = self._slab.gather(data.train.images, index)
            labels = data.train.labels[index]
            targets = one_hot(labels, self._logits.shape[1], images.dtype)
            logits = self._logits[..., : index.shape[1]]
            for start in range(0, index.shape[1], size):
                batch = slice(start, start + size)
                logits[..., batch].copy_(self._run(images[:, batch], targets[..., batch]))
                if after_step:
                    after_step()
            parts.append(self._take_note(score(logits, labels)))
        return _sum(parts)

    def _steps_per_slab(self) -> int:
        """Return how many batches to gather, and to score, at once."""
        data = self.cell.dataset
        classes = self.cell.network.sizes[-1]
        an_image = len(self.seeds) * (data.features + classes) + len(self.members) * classes
        return max(1, _slab_bytes(self.device) // (4 * self.cell.batch_size * an_image))

    def _take_note(self, scores: Score) -> Score:
        """Find the first step of each member whose loss was not finite; return the sums over a slab's steps."""
        size = self.cell.batch_size
        by_step = pad(scores.loss, (0, -scores.loss.shape[1] % size)).unflatten(1, (-1, size)).sum(-1)
        is_bad = ~by_step.isfinite()
        first = self._steps + is_bad.int().argmax(1) + 1
        self.first_bad_step = torch.where((self.first_bad_step == 0) & is_bad.any(1), first, self.first_bad_step)
        self._steps += by_step.shape[1]
        return scores.total()

    def _run(self, images: Tensor, targets: Tensor) -> Tensor:
        """Take one step, if possible by replaying the captured one."""
        if not self.captures or images.shape[1] != self.cell.batch_size:
            return self.step(images, targets)
        if self._captured is None:
            self._captured = CapturedStep(self.step, (images, targets), list(self.tensors().values()))
        return self._captured(images, targets)

    def score(self, split: Split) -> Score:
        """Score every member on a whole split."""
        width = 2 * sum(self.cell.network.sizes) * len(self.members)
        slab = max(128, 4 * _slab_bytes(self.device) // (4 * width))
        parts = []
        for start in range(0, len(split), slab):
            images = self._slab.normalise(split.images[start : start + slab])
            logits = self._backprop.logits(self.weights, images[None])
            parts.append(score(logits, split.labels[None, start : start + slab]).total())
        return _sum(parts)

    def result(self, train: Score | None) -> EpochResult:
        """Evaluate the members and bring the epoch's numbers to the CPU.

        Args:
            train: what :meth:`train_epoch` returned, or None before the first epoch.
        """
        data = self.cell.dataset
        train_loss, train_accuracy = _means(train, len(data.train)) if train else (None, None)
        val_loss, val_accuracy = _means(self.score(data.val), len(data.val))
        test_loss, test_accuracy = _means(self.score(data.test), len(data.test)) if data.test else (None, None)
        first_bad = self.first_bad_step.cpu()
        # The loss before the last step says nothing of the weights after it.
        after = torch.where(val_loss.isfinite() | (first_bad > 0), 0, self._steps.cpu() + 1)
        return EpochResult(
            *(train_loss, train_accuracy, val_loss, val_accuracy, test_loss, test_accuracy, first_bad + after),
            {name: column for reading in self._readings for name, column in reading.read().items()},
        )


def flatten(nest: Any, prefix: str) -> dict[str, Tensor]:
    """Name the tensors of a nest of dicts by their paths: ``{"a": {"b": t}}`` to ``{"prefix/a/b": t}``."""
    if isinstance(nest, Tensor):
        return {prefix: nest}
    return {name: t for key, part in nest.items() for name, t in flatten(part, f"{prefix}/{key}").items()}


def _sum(parts: Sequence[Score]) -> Score:
    return Score(torch.stack([p.loss for p in parts]).sum(0), torch.stack([p.correct for p in parts]).sum(0))


def _means(score: Score, n: int) -> tuple[Tensor, Tensor]:
    return score.loss.cpu() / n, score.correct.cpu().double() / n


def _slab_bytes(device: torch.device) -> int:
    """Size of a gather: on a CPU it should stay in the cache, on a GPU it should be few launches."""
    return 2**22 if device.type == "cpu" else 2**28
