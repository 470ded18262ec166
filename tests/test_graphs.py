"""Promise: a step survives being captured once and replayed, which is how a GPU runs it.

No GPU is needed: a captured graph is emulated by a tape of the operations, with their memory. As on a GPU, Python runs
once; whatever a chart or an optimizer decides or keeps there must hold for every later step.
"""

from contextlib import contextmanager, nullcontext

import pytest
import torch
from conftest import L4
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from scaleinv.losses import LabelSmoothing, MeanSquaredError
from scaleinv.networks.mlp import mlp
from scaleinv.optim import SGD, Adam, AdamW, RMSprop
from scaleinv.penalties import L2Coords, L2Weights
from scaleinv.probes.base import Probe, Reading
from scaleinv.probes.roots import Roots
from scaleinv.runs.config import compose
from scaleinv.runs.datasets import load_dataset
from scaleinv.runs.registry import find, names
from scaleinv.runs.run import run
from scaleinv.schedules import Schedule
from scaleinv.spaces import CycleSpace, FixedWeightSpace, GSpace, WeightSpace
from scaleinv.training.cell import LR, Cell
from scaleinv.training.stack import Stack

# Operations that make the host wait for the device, or the device for the host: a capture fails at them.
aten = torch.ops.aten
WAITING = {aten._local_scalar_dense, aten.is_nonzero, aten.nonzero, aten.masked_select, aten.equal, aten.lift_fresh}


class Tape(TorchDispatchMode):
    """Remember every operation with the tensors that it read and made; refuse those that cannot be captured."""

    def __init__(self):
        """Begin empty."""
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run an operation and remember it."""
        assert func.overloadpacket not in WAITING, f"{func} cannot be captured"
        out = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, out))
        return out


class FakeGraph:
    """A graph whose replay repeats the operations in the memory that they were captured with."""

    def __init__(self):
        """Begin with an empty tape."""
        self.tape, self.replays = Tape(), 0

    def replay(self):
        self.replays += 1
        for func, args, kwargs, out in self.tape.calls:
            with torch.no_grad():  # a graph holds kernels, no tape of autograd's
                again = func(*args, **kwargs)
            for kept, new in zip(tree_leaves(out), tree_leaves(again), strict=True):
                if isinstance(kept, torch.Tensor) and kept.data_ptr() != new.data_ptr():
                    kept.copy_(new)


class FakeStream:
    def wait_stream(self, other):
        pass


@pytest.fixture
def capturing(monkeypatch):
    """Make a stack run as on a GPU; return a function that does, and the graphs that were captured."""
    graphs = []

    def on_gpu(stack):
        @contextmanager
        def capture(graph):
            # Capturing does not run anything on a GPU; the tape must, so its effects are undone.
            before, step = {name: t.clone() for name, t in stack.tensors().items()}, stack._progress.step.clone()
            with graph.tape:
                yield
            stack.load(before)
            stack._progress.step.copy_(step)
            graphs.append(graph)

        monkeypatch.setattr(torch.cuda, "graph", capture)
        stack.captures = True
        return stack

    monkeypatch.setattr(torch.cuda, "Stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "current_stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    return on_gpu, graphs


# Options that differ between the members, besides the learning rate.
PER_MEMBER = {SGD: (), Adam: ("beta1",), AdamW: ("weight_decay", "eps"), RMSprop: ("momentum", "alpha")}


# The fused step and a rule with state in every space; the other rules in one, since a rule does not see the space.
CHARTS = [WeightSpace(), FixedWeightSpace(), CycleSpace(), GSpace(), GSpace("maxprod", "keep")]
RULES = [SGD(momentum=0.9, weight_decay=1e-3), Adam(memory=False), AdamW(), RMSprop()]


@pytest.mark.parametrize(
    ("optimizer", "space"),
    [(rule, chart) for rule in (SGD(), Adam()) for chart in CHARTS] + [(rule, CHARTS[-1]) for rule in RULES],
)
def test_replayed_training_is_training(capturing, optimizer, space):
    data = load_dataset("digits").to("cpu", torch.float64)
    axes = {"space.value": (0.5, 1.0)} if getattr(space, "fix", None) == "overwrite" else {}
    axes |= {f"optimizer.{name}": (0.5, 0.1) for name in PER_MEMBER[type(optimizer)]} | {LR: (1e-3, 1e-4)}
    probes = [Roots()] if isinstance(space, GSpace) else []
    cell = Cell(mlp((64, 9, 12, 10), bias=True), data, space, optimizer, axes, [0, 1], 50, probes=probes)
    assert_replayed(capturing, cell)


@pytest.mark.parametrize("loss", [LabelSmoothing(), MeanSquaredError()])
@pytest.mark.parametrize("penalty", [L2Weights(), L2Coords(), L4()])
def test_losses_and_penalties_are_part_of_the_step(capturing, penalty, loss):
    data = load_dataset("digits").to("cpu", torch.float64)
    axes = {"penalties.mine.strength": (0.1, 0.0), LR: (1e-3, 1e-4)}
    network = mlp((64, 9, 12, 10), bias=True)
    cell = Cell(network, data, CycleSpace(), SGD(), axes, [0, 1], 50, loss=loss, penalties={"mine": penalty})
    assert_replayed(capturing, cell)


def assert_replayed(capturing, cell):
    (on_gpu, graphs), data = capturing, cell.dataset
    stack, replayed = Stack(cell, cell.members), on_gpu(Stack(cell, cell.members))
    for epoch in (1, 2):
        score, again = stack.train_epoch(epoch), replayed.train_epoch(epoch)
        torch.testing.assert_close(again.loss, score.loss, rtol=1e-12, atol=0)
        torch.testing.assert_close(replayed.tensors(), stack.tensors(), rtol=1e-10, atol=1e-14)
    assert len(graphs) == 1
    full = len(data.train) // 50
    assert graphs[0].replays == 2 * full  # the last batch of an epoch is smaller, and not replayed


# A closed loop measures between steps, which is not captured: tests/test_actcoolr.py.
@pytest.mark.parametrize("name", sorted({*names("scaleinv.schedules")} - {"actcoolr"}))
def test_replayed_schedules_go_on(capturing, name):
    """With options per member too."""
    on_gpu, graphs = capturing
    options = {
        "warmup": {"steps": [30, 3]},
        "step": {"every": [1, 2]},
        "exponential": {"rate": [0.5, 1.0]},
        "cosine_restarts": {"epochs": [1, 2]},
        "one_cycle": {"rise": [0.3, 0.5]},
        "cyclic": {"epochs": [1, 2]},
        "triangular": {"epochs": [1, 2]},
    }.get(name, {})
    whole = {"factors": [1.0, 0.1]} if name == "replay" else {}
    firsts = {option: values[0] for option, values in options.items()}
    schedule = find("scaleinv.schedules", name, Schedule)(**firsts, **whole)
    data = load_dataset("digits").to("cpu", torch.float64)
    axes = {**{f"schedule.{option}": values for option, values in options.items()}, LR: [1e-3, 1e-4]}
    cell = Cell(mlp((64, 9, 10)), data, WeightSpace(), Adam(), axes, [0], batch_size=50, schedule=schedule, epochs=3)
    stack, replayed = Stack(cell, cell.members), on_gpu(Stack(cell, cell.members))
    for epoch in (1, 2, 3):
        stack.train_epoch(epoch)
        replayed.train_epoch(epoch)
        torch.testing.assert_close(replayed.tensors(), stack.tensors(), rtol=1e-10, atol=1e-14)
    assert len(graphs) == 1


class Waits(Probe):
    """Makes the host wait at every step, which cannot be captured."""

    def columns(self, scene):
        return ("first",)

    def attach(self, scene):
        return Waiting(scene)


class Waiting(Reading):
    def __init__(self, scene):
        """Begin with nothing seen."""
        self.weights, self.first = scene.weights, torch.zeros(len(scene.members), dtype=torch.float64)

    def look(self):
        self.first.fill_(self.weights["0.weight"].flatten()[0].item())

    def read(self):
        return {"first": self.first.clone()}

    def tensors(self):
        return {"first": self.first}


@pytest.mark.parametrize("captures", [True, False], ids=["fails", "not asked for"])
def test_what_cannot_be_captured_is_trained_without(capturing, captures):
    """With one note, and as if nothing had been tried."""
    on_gpu, graphs = capturing
    data = load_dataset("digits").to("cpu", torch.float64)
    probes = [Waits(every=1)]
    cell = Cell(mlp((64, 9, 10)), data, GSpace(), Adam(), {LR: [1e-3]}, [0], batch_size=50, probes=probes)
    notes = []
    stack, other = Stack(cell, cell.members), Stack(cell, cell.members, note=notes.append)
    on_gpu(other).captures = captures
    for epoch in (1, 2):
        stack.train_epoch(epoch)
        other.train_epoch(epoch)
    torch.testing.assert_close(other.tensors(), stack.tensors(), rtol=0, atol=0)
    assert not graphs
    assert not other.captures
    assert len(notes) == captures
    assert all("going on without captured steps" in note and "cannot be captured" in note for note in notes)


def test_capture_false_reaches_the_stacks_and_is_no_other_run(monkeypatch, tmp_path):
    made, init = [], Stack.__init__
    monkeypatch.setattr(Stack, "__init__", lambda self, *given: (made.append(given), init(self, *given))[1])
    base = ["network.hidden=[4,4]", "batch_size=1000", "epochs=1", "progress=false", "threads=1"]
    configs = [compose([*base, f"capture={word}", f"results={tmp_path / word}"]) for word in ("true", "false")]
    assert configs[0].run_id == configs[1].run_id
    for config in configs:
        run(config)
        assert made[-1][2] is config.capture
