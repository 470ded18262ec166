"""Train a cell stack by stack; the records survive a crash."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import safetensors.torch
import torch
from tqdm import tqdm

from scaleinv.losses import Score
from scaleinv.runs.build import build_cell
from scaleinv.runs.config import AXES, Config
from scaleinv.runs.environment import cache_bytes, describe, free_bytes
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.folder import ARRAYS, KINDS, WEIGHTS, RunFolder
from scaleinv.runs.progress import Meter, meter, note
from scaleinv.runs.tasks.base import Task
from scaleinv.runs.tensors import join_parts, save_part
from scaleinv.runs.tracking import Tracking
from scaleinv.runs.weights import SIZES, Keeper, require_kept
from scaleinv.training.accumulation import part_size
from scaleinv.training.autograd import step_scalars
from scaleinv.training.cell import LR, Cell, Member, list_members, next_stack
from scaleinv.training.stack import EpochResult, Stack

# Columns of the four choices, then of the axes that every run has; other axes follow, with columns named by their keys.
LABELS, NAMED = ("dataset", "network", "space", "optimizer"), ("lr", "seed", "value")
MEASURED = (
    *("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "test_loss", "test_accuracy"),
    *("status", "diverged_step"),
)
SEEDS, VALUE = "seeds", "space.value"
# Prefix of the kept weights in a checkpoint.
KEPT = "kept/"
TIMING = ("first_member", "members", "epoch", "train_seconds", "eval_seconds")


def columns(axes: Mapping[str, Sequence[float]]) -> tuple[str, ...]:
    """Return the columns of ``metrics.csv``, except those of probes, for the axes of a grid."""
    return (*LABELS, *NAMED, *(key for key in axes if key not in AXES), *MEASURED)


def place(member: Member) -> tuple[float | None, ...]:
    """Return a member's values of the columns between ``LABELS`` and ``MEASURED``: its position in the grid."""
    further = (number for key, number in member.at.items() if key not in AXES)
    return (member.at[LR], member.seed, member.at.get(VALUE), *further)


def axis_columns(axes: Mapping[str, Sequence[float]]) -> dict[str, str]:
    """Return the column of every axis by its key, from outermost to innermost, which is the order of the rows."""
    further = {key: key for key in axes if key not in AXES}
    return {SEEDS: AXES[SEEDS], VALUE: AXES[VALUE], **further, LR: AXES[LR]}


@dataclass(frozen=True)
class Sweep(Task):
    """Train every member of the grid; one row per member and epoch."""

    is_tracked: ClassVar[bool] = True

    def words(self, name: str, labels: Mapping[str, str]) -> tuple[str, ...]:
        """Begin with data set, space and optimizer; see :meth:`Task.words`."""
        return (labels["dataset"], labels["space"], labels["optimizer"])

    def prepare(self, config: Config) -> None:
        """Load the data and check that the space takes the network; see :meth:`Task.prepare`."""
        cell = build_cell(config)
        try:
            # Start, space and probes may accept one seed or number and refuse another, so each combination is tried.
            own = [key for key in cell.axes if not key.startswith(("optimizer.", "penalties.", "schedule.", "loss."))]
            for member in {(m.seed, *(m.at[key] for key in own)): m for m in cell.members}.values():
                probed = Stack(cell, [member]).columns
        except ValueError as error:
            where = "start, space, penalties, probes"
            raise ConfigError(str(error), where, "see the README for what goes together") from error
        if taken := set(probed) & set(columns(config.axes)):
            raise ConfigError(f"a probe has the column {min(taken)}, which every run has", "probes", "rename it")

    def require_kept(self, config: Config, folder: RunFolder) -> None:
        """Check that the run kept weights if they are asked for; see :meth:`Task.require_kept`."""
        require_kept(config, folder)

    def track(self, config: Config, folder: RunFolder) -> None:
        """Send the rows that the tracker lacks; see :meth:`Task.track`."""
        if config.tracker.is_on:
            with folder.locked(), Tracking(config, folder, axis_columns(config.axes)):
                pass

    def cost(self, config: Config) -> float:
        """Multiply members, epochs and pixels of the training images; see :meth:`Task.cost`."""
        return len(list_members(config.seeds, config.axes)) * config.epochs * config.source.pixels

    def run(self, config: Config, folder: RunFolder) -> str:
        """Train all stacks that are not finished; see :meth:`Task.run`."""
        return _Run(config, folder).finish()


@dataclass
class _Progress:
    """Progress of a run; a checkpoint holds this and the tensors of the current stack.

    Attributes:
        chunk: largest number of members per stack.
        done: number of members in finished stacks.
        start: length of ``metrics.csv`` in bytes before the current stack's rows.
        epoch: last finished epoch of the current stack.
        best: smallest validation loss so far.
        diverged: number of members that diverged in finished stacks.
        seconds: time spent so far, earlier processes included.
        threads: number of CPU threads at the start of the run.
    """

    chunk: int
    done: int = 0
    start: int = 0
    epoch: int = 0
    best: float = float("inf")
    diverged: int = 0
    seconds: float = 0.0
    threads: int = field(default_factory=torch.get_num_threads)


class _Run:
    def __init__(self, config: Config, folder: RunFolder) -> None:
        self.config, self.folder = config, folder
        self.cell = build_cell(config)
        self.total = len(self.cell.members)
        self.device = self.cell.dataset.scale.device
        # Becomes false once a step could not be captured; later stacks then do not try.
        self.captures = config.capture
        self.began = time.monotonic()
        self.tensors: dict[str, torch.Tensor] = {}
        self.progress = self._resume() or self._begin()
        self.tracking = Tracking(config, folder, axis_columns(config.axes))

    def _begin(self) -> _Progress:
        chunk, why = self.config.chunk, "as configured"
        if chunk is None:
            chunk, why = pick_chunk(self.cell)
        self.folder.metrics.unlink(missing_ok=True)
        self.folder.timing.unlink(missing_ok=True)
        self.folder.tracker.unlink(missing_ok=True)
        for kind in KINDS:
            self.folder.forget(kind)
        probed = Stack(self.cell, self.cell.members[:1]).columns
        self.folder.append(self.folder.metrics, [(*columns(self.config.axes), *probed)])
        self.folder.append(self.folder.timing, [TIMING])
        self.folder.update_manifest(
            axes=axis_columns(self.config.axes), chunk=chunk, chunk_reason=why, **describe(self.device)
        )
        return _Progress(min(chunk, self.total))

    def _resume(self) -> _Progress | None:
        checkpoint = self.folder.load_checkpoint()
        if checkpoint is None:
            return None
        head, body = checkpoint.payload.split(b"\n", 1)
        progress = _Progress(**json.loads(head))
        self.tensors = safetensors.torch.load(body)
        if progress.threads != torch.get_num_threads():
            note(
                f"begun on {progress.threads} threads, resumed on {torch.get_num_threads()}:"
                f" the rest may differ in round-off (set threads={progress.threads} to avoid that)"
            )
        return progress

    def finish(self) -> str:
        """Train the remaining stacks, finish the records and return the summary."""
        with self._bar() as bar, self.tracking:
            while self.progress.done < self.total:
                self._train_stack(bar)
        seconds = self._seconds()
        network = self.cell.network
        join_parts(self.folder, WEIGHTS, {SIZES: " ".join(map(str, (*network.inputs, network.outputs)))})
        join_parts(self.folder, ARRAYS)
        rows = self.folder.finish(
            (*axis_columns(self.config.axes).values(), "epoch"),
            wall_seconds=round(seconds, 3),
            members=self.total,
            diverged=self.progress.diverged,
        )
        return (
            f"{self.total} members, {rows} rows, best val_loss {self.progress.best:.4f},"
            f" {self.progress.diverged} diverged, {seconds:.1f} s\n"
            f"  stacks of {self.progress.chunk}: {self.folder.manifest['chunk_reason']}"
        )

    def _train_stack(self, bar: Meter) -> None:
        """Train the next stack; if memory runs out, halve the size of the stacks from here on."""
        progress = self.progress
        if not self.tensors:
            progress.start = self.folder.metrics.stat().st_size
        try:
            self._train(bar, next_stack(self.cell, progress.done, progress.chunk))
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error) or progress.chunk == 1:
                raise
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            note(f"{progress.chunk} members do not fit into memory, going on with {progress.chunk // 2}")
            progress.chunk //= 2
            progress.epoch = 0
            self.tensors = {}
            with self.folder.metrics.open("ab") as file:
                file.truncate(progress.start)
            self.tracking.rewind(progress.start)
            self.folder.update_manifest(chunk=progress.chunk, chunk_reason="halved when memory ran out")

    def _train(self, bar: Meter, members: list[Member]) -> None:
        progress, epochs = self.progress, self.config.epochs
        stack = Stack(self.cell, members, self.captures, tqdm.write)
        self.keeper = Keeper(self.config.keep, epochs)
        if self.tensors:
            self.keeper.tensors = {n.removeprefix(KEPT): t for n, t in self.tensors.items() if n.startswith(KEPT)}
            stack.load(self.tensors)
            self.tensors = {}
        else:
            result = self._record(stack, 0, None, 0.0)
        saved = time.monotonic()
        for epoch in range(progress.epoch + 1, epochs + 1):
            began = time.monotonic()
            score = stack.train_epoch(epoch, after_step=lambda: bar.update(len(members)))
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            result = self._record(stack, epoch, score, time.monotonic() - began)
            progress.epoch = epoch
            bad = int((result.first_bad_step > 0).sum())
            bar.set_postfix_str(
                f"epoch {epoch}/{epochs}, best val_loss {progress.best:.4f}, {progress.diverged + bad} diverged",
                refresh=epoch == epochs,
            )
            if epoch < epochs and time.monotonic() - saved >= self.config.checkpoint_seconds:
                self._checkpoint(stack)
                saved = time.monotonic()
        save_part(self.folder, WEIGHTS, members[0].index, self.keeper.tensors)
        save_part(self.folder, ARRAYS, members[0].index, stack.arrays())
        self.captures = stack.captures
        progress.diverged += int((result.first_bad_step > 0).sum())
        progress.done += len(members)
        progress.epoch = 0
        self._checkpoint(None)

    def _record(self, stack: Stack, epoch: int, score: Score | None, train_seconds: float) -> EpochResult:
        began = time.monotonic()
        result = stack.result(score)
        eval_seconds = time.monotonic() - began
        self.keeper.see(epoch, stack.module_state(), result.val_loss)
        self.folder.append(self.folder.metrics, self._rows(stack.members, epoch, result))
        first = stack.members[0].index
        timing = (first, len(stack.members), epoch, f"{train_seconds:.4f}", f"{eval_seconds:.4f}")
        self.folder.append(self.folder.timing, [timing])
        finite = result.val_loss[result.val_loss.isfinite()]
        if len(finite):
            self.progress.best = min(self.progress.best, finite.min().item())
        return result

    def _rows(self, members: list[Member], epoch: int, result: EpochResult) -> Iterator[tuple[Any, ...]]:
        numbers = (
            *(result.train_loss, result.train_accuracy, result.val_loss),
            *(result.val_accuracy, result.test_loss, result.test_accuracy),
        )
        listed = [t.tolist() if t is not None else [None] * len(members) for t in numbers]
        probed = [column.tolist() for column in result.probed.values()]
        labels = tuple(self.config.labels.values())
        steps = result.first_bad_step.tolist()
        for i, (member, *measured, step) in enumerate(zip(members, *listed, steps, strict=True)):
            status = ("diverged", step) if step else ("ok", None)
            readings = (column[i] for column in probed)
            yield (*labels, *place(member), epoch, *measured, *status, *readings)

    def _checkpoint(self, stack: Stack | None) -> None:
        self.progress.seconds = self._seconds()
        self.began = time.monotonic()
        tensors = {name: t.cpu().contiguous() for name, t in stack.tensors().items()} if stack else {}
        if stack:
            tensors |= {f"{KEPT}{name}": t for name, t in self.keeper.tensors.items()}
        head = json.dumps(vars(self.progress)).encode()
        self.folder.save_checkpoint(head + b"\n" + safetensors.torch.save(tensors))
        self.tracking.catch_up()  # only now, as a resume takes back what is behind the checkpoint

    def _seconds(self) -> float:
        return self.progress.seconds + time.monotonic() - self.began

    def _bar(self) -> Meter:
        steps = self.config.epochs * self.cell.steps_per_epoch
        current = len(next_stack(self.cell, self.progress.done, self.progress.chunk)) if self.tensors else 0
        done = self.progress.done * steps + current * self.progress.epoch * self.cell.steps_per_epoch
        title = f"{self.config.title}, {self.total} members"
        return meter(title, self.total * steps, done, self.config.progress)


def pick_chunk(cell: Cell) -> tuple[int, str]:
    """Choose how many members to train at once: the fastest stack that fits.

    On a CPU the weights, gradients and optimizer state of a stack should stay in the last-level cache, because a
    step passes over all of them; more than a few dozen members gain nothing. On a GPU, as many members as fit are
    trained at once.

    Returns:
        The number of members per stack, and the reason in words.
    """
    cell = cell.at(cell.members[:1])
    scale, m = cell.dataset.scale, cell.network.graph.parameters
    one = {name: torch.empty(shape, dtype=scale.dtype) for name, shape in cell.network.graph.shapes.items()}
    state = safetensors_size(cell.optimizer.transformation().init(one))
    once, each = step_scalars(cell.network, part_size(cell.accumulate, cell.batch_size))
    gradients = m * (cell.accumulate > 1)  # a second gradient per member, in which the parts are added up
    per_member = (3 * m + gradients + each) * scale.element_size() + state
    fits = max(1, (int(0.6 * free_bytes(scale.device)) - once * scale.element_size()) // per_member)
    if scale.device.type == "cuda":
        return fits, f"{fits} members of {per_member / 2**20:.1f} MiB fit into 60 % of the free GPU memory"
    cached = max(8, cache_bytes() // (2 * m * scale.element_size() + state))
    size = min(fits, cached)
    reason = "the free memory" if fits < cached else f"the {cache_bytes() / 2**20:.0f} MiB CPU cache"
    return size, f"{size} members of {per_member / 2**20:.1f} MiB fit into {reason}"


def safetensors_size(nest: Any) -> int:
    """Return the total bytes of all tensors in nested dicts."""
    if isinstance(nest, torch.Tensor):
        return nest.numel() * nest.element_size()
    return sum(safetensors_size(part) for part in nest.values())


def _is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
