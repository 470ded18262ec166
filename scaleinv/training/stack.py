"""A stack of members, trained as one tensor program."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from scaleinv.losses.base import Score
from scaleinv.numbers.base import Draws
from scaleinv.optim.base import IDENTITY, GradientTransformation, Point, State
from scaleinv.penalties.base import Term
from scaleinv.probes.base import Reading, Scene
from scaleinv.schedules.base import Progress
from scaleinv.spaces._gradient import Gradient
from scaleinv.spaces.base import Coords, Frame
from scaleinv.symmetry.graph import Weights
from scaleinv.training.accumulation import accumulating
from scaleinv.training.autograd import make_engine
from scaleinv.training.capture import CapturedStep, CaptureError
from scaleinv.training.cell import LR, Cell, Member
from scaleinv.training.data import Epoch, Slab, Split
from scaleinv.training.engine import Engine
from scaleinv.training.evaluate import Evaluator, slab_bytes, total
from scaleinv.training.regauge import check_gauge, regauge_
from scaleinv.training.trial import Trial


@dataclass(frozen=True)
class EpochResult:
    """Results of a stack's members after one epoch; tensors ``(members,)`` on the CPU.

    Attributes:
        train_loss: mean loss of the epoch's batches, each before its step; None before the first epoch.
        train_accuracy: accuracy on the same batches; None, as the other accuracies, where targets are numbers.
        val_loss: mean loss on the validation images after the epoch.
        val_accuracy: accuracy on the validation images.
        test_loss: mean loss on the test images after the epoch, or None if they are the validation images.
        test_accuracy: accuracy on the test images, or None.
        first_bad_step: first step (from 1) whose loss was not finite, or 0.
        probed: results of the probes and values of the penalties, by column.
    """

    train_loss: Tensor | None
    train_accuracy: Tensor | None
    val_loss: Tensor
    val_accuracy: Tensor | None
    test_loss: Tensor | None
    test_accuracy: Tensor | None
    first_bad_step: Tensor
    probed: dict[str, Tensor]


def move_(
    rule: GradientTransformation,
    point: Point,
    gradient: Gradient,
    state: State,
    step: Tensor,
    terms: Sequence[Term] = (),
) -> State:
    """Move weights in place by one step of an optimizer in the coordinates of a chart.

    Args:
        rule: the optimizer.
        point: where the step begins; its weights are moved.
        gradient: gradient at the point; not valid afterwards.
        state: state of the optimizer; may be overwritten.
        step: minus the learning rate of each member, ``(members,)``.
        terms: penalties to add.

    Returns:
        The optimizer's new state.
    """
    chart = point.chart
    frame = chart.begin(point.weights)
    if rule is IDENTITY and not terms:
        chart.descend_(frame, gradient, step)
        return state
    direction, state = aim(rule, point, frame, gradient.whole(point.weights), state, terms)
    chart.retract_(frame, direction, step)
    return state


def aim(
    rule: GradientTransformation, point: Point, frame: Frame, grads: Coords, state: State, terms: Sequence[Term]
) -> tuple[Coords, State]:
    """Return an optimizer's direction in the coordinates of a chart, and its new state.

    Args:
        rule: the optimizer.
        point: where the step begins.
        frame: the chart's frame of the point.
        grads: gradients by the weights; their memory is used.
        state: state of the optimizer; may be overwritten.
        terms: penalties to add.
    """
    for term in terms:
        if not term.in_coordinates:
            term.add_gradient_(point.weights, grads)
    grads = point.chart.pullback_(frame, grads)
    for term in terms:
        if term.in_coordinates:
            term.add_gradient_(point.coords(), grads)
    return rule.update(grads, state, point)


class Stack:
    """Members of one cell, with weights, gradients and optimizer state as stacked tensors.

    Attributes:
        scene: what probes and penalties may read, such as the weights and their evaluator.
        columns: names of the columns of the probes and the penalties.
        captures: whether steps are captured once and replayed, which only a GPU can do.
    """

    def __init__(
        self,
        cell: Cell,
        members: Sequence[Member],
        captures: bool = True,
        note: Callable[[str], object] = print,
    ) -> None:
        """Initialise the members, choose their chart and make the optimizer's state.

        Args:
            cell: cell to train.
            members: a list from :func:`scaleinv.training.cell.next_stack`.
            captures: whether a GPU may capture steps.
            note: called once, with the reason, if steps cannot be captured.

        Raises:
            ValueError: start, space, optimizer, penalties and probes do not fit together.
        """
        self.members = list(members)
        self.device = cell.dataset.scale.device
        self.cell = cell = cell.at(members, self.device)
        dtype = cell.dataset.scale.dtype
        self.seeds = list(dict.fromkeys(m.seed for m in members))
        graph = cell.network.graph.to(self.device)
        network = replace(cell.network, graph=graph)
        seeds = [m.seed for m in members]
        drawn = {name: w.to(self.device) for name, w in network.init(seeds, dtype).items()}
        self.chart = cell.space.chart(graph, cell.start.apply(network, drawn, seeds))
        self.weights = self.chart.start()
        self.lrs = torch.tensor([m.at[LR] for m in members], dtype=torch.float64, device=self.device)
        self._step_size = -self.lrs.to(dtype)
        self._progress = Progress(self.lrs.new_zeros(()), cell.steps_per_epoch, cell.epochs)
        cell.optimizer.check(network)
        self.rule = cell.optimizer.transformation()
        check_gauge(cell.gauge, cell.space, cell.number, graph, self.rule, type(cell.optimizer).__name__)
        self.state = self.rule.init(self.weights)
        count = len(members)
        # The buffers of a module (running statistics) are stacked per member; they are not coordinates.
        self._statistics = {name: b.to(self.device) for name, b in network.buffers(count, dtype).items()}
        self.engine = accumulating(make_engine(network, self._statistics), cell.accumulate, cell.batch_size)
        # For second gradients of a step, made when an optimizer first asks for one.
        self._second: Engine | None = None
        self._apart: dict[str, Tensor] = {}
        self._slab = Slab(cell.dataset)
        self._views = cell.augment.attach(cell.dataset.train.images, cell.dataset.shape)
        # Number of draws that the number format has made for training; it is the whole state of its randomness.
        self._draws = torch.zeros((), dtype=torch.int64)
        evaluator = Evaluator(network, cell.dataset, cell.loss, self._statistics, self._read_to_score)
        length = (cell.steps_per_epoch, cell.epochs)
        self.scene = Scene(
            *(network, self.chart, cell.dataset, self.members, self.weights, evaluator, *length),
            statistics=self._statistics,
            kept=cell.kept,
        )
        self._readings = [(probe.every, probe.attach(self.scene)) for probe in cell.probes]
        self._controller = cell.schedule.attach(self.scene)
        is_watched = self._controller is not None or any(reading.watches for _, reading in self._readings)
        if cell.accumulate > 1 and self._statistics and is_watched:
            raise ValueError("a probe or schedule that tries steps needs the batches of batch norm whole: accumulate=1")
        self._columns = [probe.columns(self.scene) for probe in cell.probes]
        self._terms = [penalty.attach(self.scene) for penalty in cell.penalties.values()]
        # A term of strength 0 in all members is only measured: the step is the one without it.
        strengths = [torch.as_tensor(penalty.strength) for penalty in cell.penalties.values()]
        self._acting = [term for term, strength in zip(self._terms, strengths, strict=True) if strength.any()]
        self.columns = (*(name for names in self._columns for name in names), *self._penalised())
        if twice := [name for name in self.columns if self.columns.count(name) > 1]:
            raise ValueError(f"two probes have a column {twice[0]}")
        # Outputs of a whole slab, which is scored at once, so that single steps need not be.
        slab = min(self._steps_per_slab() * cell.batch_size, len(cell.dataset.train))
        self._logits = torch.empty(count, network.outputs, slab, dtype=dtype, device=self.device)
        self._steps = torch.zeros((), dtype=torch.int64, device=self.device)
        self.first_bad_step = torch.zeros(count, dtype=torch.int64, device=self.device)
        self.captures = (
            captures and self.device.type == "cuda" and self._controller is None and cell.number.can_be_captured
        )
        self._note = note
        self._captured: CapturedStep | None = None

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that training changes, by name: what a checkpoint must hold."""
        flat = {f"weights/{n}": w for n, w in self.weights.items()} | flatten(self.state, "state")
        flat |= {f"buffers/{n}": b for n, b in self._statistics.items()}
        for i, (_, reading) in enumerate(self._readings):
            flat |= flatten(reading.tensors(), f"probe/{i}")
        for i, term in enumerate(self._terms):
            flat |= flatten(term.tensors(), f"penalty/{i}")
        if self._controller is not None:
            flat |= flatten(self._controller.tensors(), "schedule")
        if not self.cell.number.can_be_captured:
            flat["draws"] = self._draws
        return flat | {"steps": self._steps, "first_bad_step": self.first_bad_step}

    def module_state(self) -> dict[str, Tensor]:
        """Return the state of the members' modules, by the names of ``state_dict``: weights and running statistics."""
        return {**self.weights, **self._statistics}

    def arrays(self) -> dict[str, Tensor]:
        """Return the results of probes and controller that are not columns, ``(members, ...)`` by name."""
        arrays = {} if self._controller is None else dict(self._controller.arrays())
        for _, reading in self._readings:
            for name, array in reading.arrays().items():
                if name in arrays:
                    raise ValueError(f"two probes have an array {name}")
                arrays[name] = array
        return arrays

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Copy the tensors of a checkpoint into place."""
        for name, own in self.tensors().items():
            own.copy_(tensors[name])

    def step(self, images: Tensor, targets: Tensor, watching: Sequence[Reading] = ()) -> Tensor:
        """Take one step with every member.

        Args:
            images: float ``(seeds, batch, features)``.
            targets: ``(seeds, classes, batch)``; see :meth:`scaleinv.losses.base.Loss.targets`.
            watching: readings that look at the step before it is taken.

        Returns:
            The outputs before the step, ``(members, classes, batch)``, until the next one overwrites them.
        """
        self.engine.records = bool(watching) or self._controller is not None
        logits, gradient = self.engine.gradient(self._as_read("training"), images, targets, self.cell.loss)
        place = (self.weights, images, logits, self.scene.network, self.chart, self._statistics)
        point = Point(*place, partial(self._gradient_at, images, targets))
        sizes = self._watched(point, gradient, watching) if self.engine.records else self._sizes()
        self.state = move_(self.rule, point, gradient, self.state, sizes, self._acting)
        self._draws += 1
        for every, reading in self._readings:
            if every == 1:
                reading.look()
        return logits

    def _gradient_at(self, images: Tensor, targets: Tensor, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Compute the gradient of a batch's loss at other weights, in memory of its own; running statistics stay."""
        if self._second is None:
            self._apart = {name: b.clone() for name, b in self._statistics.items()}
            engine = make_engine(self.scene.network, self._apart)
            self._second = accumulating(engine, self.cell.accumulate, self.cell.batch_size)
        for name, b in self._apart.items():
            b.copy_(self._statistics[name])
        read = self._as_read("training", weights)
        return self._second.gradient(read, images, targets, self.cell.loss)[1].whole(weights)

    def _as_read(self, purpose: str, weights: Weights | None = None) -> dict[str, Tensor]:
        """Return the weights as the number format reads them: the same ones until the next step."""
        # A step that draws nothing must not read the count, for which the host would wait: it may be captured.
        count = 0 if self.cell.number.can_be_captured else int(self._draws)
        draws = Draws(tuple(member.seed for member in self.members), purpose, count)
        return self.cell.number.read(self.scene.network.graph, self.weights if weights is None else weights, draws)

    def _read_to_score(self, weights: Weights) -> dict[str, Tensor]:
        return self._as_read("scoring", weights)

    def _sizes(self) -> Tensor:
        """Return minus the learning rate of each member at the next step, and count the step."""
        factor = self.cell.schedule.factor(self._progress)
        if factor is None:
            return self._step_size
        sizes = (-self.lrs * factor).to(self._step_size)
        self._progress.step.add_(1)
        return sizes

    def _watched(self, point: Point, gradient: Gradient, watching: Sequence[Reading]) -> Tensor:
        """Return what :meth:`_sizes` does, or a controller's choice, and let readings look at the coming step."""

        def direction() -> Coords:
            grads = {name: g.clone() for name, g in gradient.whole(self.weights).items()}
            frame = self.chart.begin({name: w.clone() for name, w in self.weights.items()})
            return aim(self.rule, point, frame, grads, copied(self.state), self._acting)[0]

        now = replace(self._progress, step=self._progress.step.clone())
        trial = Trial(point, now, self.lrs, self.scene.evaluator, direction, self.engine.hidden)
        if self._controller is None:
            sizes = self._sizes()
        else:
            sizes = -self._controller.choose(trial).to(self._step_size)
            self._progress.step.add_(1)
        trial.lrs = -sizes.to(self.lrs)
        for reading in watching:
            reading.before(trial)
        return sizes

    def train_epoch(self, epoch: int, after_step: Callable[[], object] | None = None) -> Score:
        """Train one epoch and return the summed scores of its batches, each taken before its step.

        Args:
            epoch: number of the epoch, counted from 1; with the seeds it determines the order of the batches.
            after_step: called after every step, without waiting for the device.
        """
        data, size, loss = self.cell.dataset, self.cell.batch_size, self.cell.loss
        for term in self._terms:
            term.begin_epoch(epoch, self.weights)
        steps = self.cell.steps_per_epoch
        step = (epoch - 1) * steps
        self._progress.step.fill_(step)
        batches = Epoch(data, self._views, self._slab, self.seeds, epoch)
        parts = []
        for index in batches.order.split(self._steps_per_slab() * size, 1):
            images = batches.gather(index)
            labels = data.train.labels[index]
            targets = loss.targets(labels, self._logits.shape[1], images.dtype)
            logits = self._logits[..., : index.shape[1]]
            for start in range(0, index.shape[1], size):
                batch = slice(start, start + size)
                watching = [r for every, r in self._readings if r.watches and is_due(step, every, steps)]
                if self.cell.gauge.is_due(step):
                    self._regauge(images[:, batch], targets[..., batch])
                logits[..., batch].copy_(self._run(images[:, batch], targets[..., batch], watching))
                step += 1
                self._look(step)
                if after_step:
                    after_step()
            parts.append(self._take_note(loss.score(logits, labels)))
        return total(parts)

    def _regauge(self, images: Tensor, targets: Tensor) -> None:
        """Change the gauge before a step at a batch. It is no part of the step: a captured one goes on from there."""
        gradient = partial(self._gradient_at, images, targets, self.weights)
        regauge_(self.cell.gauge, self.scene.network.graph, self.weights, self.state, self.rule, gradient)

    def _look(self, step: int) -> None:
        """Let the probes with ``every`` above 1 look at the weights when ``step`` is their turn."""
        for every, reading in self._readings:
            if every > 1 and step % every == 0:
                reading.look()

    def _steps_per_slab(self) -> int:
        """Return how many batches to gather, and to score, at once."""
        data = self.cell.dataset
        classes = self.cell.network.outputs
        an_image = len(self.seeds) * (data.features + classes) + len(self.members) * classes
        return max(1, slab_bytes(self.device) // (4 * self.cell.batch_size * an_image))

    def _take_note(self, scores: Score) -> Score:
        """Find the first step of each member whose loss was not finite; return the sums over a slab's steps."""
        size = self.cell.batch_size
        by_step = pad(scores.loss, (0, -scores.loss.shape[1] % size)).unflatten(1, (-1, size)).sum(-1)
        is_bad = ~by_step.isfinite()
        first = self._steps + is_bad.int().argmax(1) + 1
        self.first_bad_step = torch.where((self.first_bad_step == 0) & is_bad.any(1), first, self.first_bad_step)
        self._steps += by_step.shape[1]
        return scores.total()

    def _run(self, images: Tensor, targets: Tensor, watching: Sequence[Reading]) -> Tensor:
        """Take one step, if possible by replaying the captured one; arguments as of :meth:`step`."""
        if not self.captures or watching or images.shape[1] != self.cell.batch_size:
            return self.step(images, targets, watching)
        if self._captured is None:
            try:
                changed = [*self.tensors().values(), self._progress.step]
                self._captured = CapturedStep(self.step, (images, targets), changed)
            except CaptureError as error:
                self._note(f"note: going on without captured steps, which are faster: {error}")
                self.captures = False
                return self.step(images, targets)
        return self._captured(images, targets)

    def score(self, split: Split) -> Score:
        """Score every member on a whole split."""
        return self.scene.evaluator.score(self.weights, split)

    def result(self, train: Score | None) -> EpochResult:
        """Evaluate the members and move the epoch's numbers to the CPU.

        Args:
            train: what :meth:`train_epoch` returned, or None before the first epoch.
        """
        data = self.cell.dataset
        train_loss, train_accuracy = _means(train, len(data.train)) if train else (None, None)
        val_loss, val_accuracy = _means(self.score(data.val), len(data.val))
        test_loss, test_accuracy = _means(self.score(data.test), len(data.test)) if data.test else (None, None)
        first_bad = self.first_bad_step.cpu()
        # No batch was scored after the last step: a validation loss that is not finite counts as the step after it.
        after = torch.where(val_loss.isfinite() | (first_bad > 0), 0, self._steps.cpu() + 1)
        return EpochResult(
            *(train_loss, train_accuracy, val_loss, val_accuracy, test_loss, test_accuracy, first_bad + after),
            self._read(),
        )

    def _read(self) -> dict[str, Tensor]:
        """Read all probes, and check that they return the columns that they announced."""
        numbers: dict[str, Tensor] = {}
        for probe, names, (every, reading) in zip(self.cell.probes, self._columns, self._readings, strict=True):
            if every == 0:
                reading.look()
            read = reading.read()
            if set(read) != set(names):
                raise ValueError(f"{type(probe).__name__} promised the columns {sorted(names)}, it read {sorted(read)}")
            numbers |= {name: read[name] for name in names}
        return numbers | self._penalised()

    def _penalised(self) -> dict[str, Tensor]:
        """Return the value of each penalty, ``(members,)`` by column."""
        numbers: dict[str, Tensor] = {}
        coords = self.chart.to_coords(self.weights) if any(term.in_coordinates for term in self._terms) else {}
        for name, term in zip(self.cell.penalties, self._terms, strict=True):
            value = term.value(coords if term.in_coordinates else self.weights)
            if value.shape != self.lrs.shape:
                raise ValueError(
                    f"penalty {name}: the value must have shape {tuple(self.lrs.shape)}, one per member,"
                    f" got {tuple(value.shape)}"
                )
            numbers[f"{name}_penalty"] = value.cpu()
        return numbers


def is_due(step: int, every: int, steps: int) -> bool:
    """Whether a reading watches the step after ``step`` steps: one in ``every``, or for 0 the first of an epoch."""
    return step % (every or steps) == 0


def copied(nest: Any) -> Any:
    """Copy the tensors of a nest of dicts."""
    return nest.clone() if isinstance(nest, Tensor) else {key: copied(part) for key, part in nest.items()}


def flatten(nest: Any, prefix: str) -> dict[str, Tensor]:
    """Name the tensors of a nest of dicts by their paths: ``{"a": {"b": t}}`` to ``{"prefix/a/b": t}``."""
    if isinstance(nest, Tensor):
        return {prefix: nest}
    return {name: t for key, part in nest.items() for name, t in flatten(part, f"{prefix}/{key}").items()}


def _means(score: Score, n: int) -> tuple[Tensor, Tensor | None]:
    return score.loss.cpu() / n, None if score.correct is None else score.correct.cpu().double() / n
