"""Time stacks of convolutional networks beside a plain PyTorch loop over the same members, and beside its arithmetic.

    python scripts/bench_convolutional.py --out results/bench_convolutional [--quick] [--cpu-seconds]

The plain loop is what one would write by hand, tuned: modules and images channels-last, ``torch.optim.SGD``, a batch
gathered and normalised once for all members, no waiting for losses. The floor is the same loop's forward and backward
passes alone. All parts of a row take turns in one process; the best of the rounds counts, because other users of a
machine can only add time. Writes OUT.csv and OUT.json (machine, versions, command).
"""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from scaleinv.networks.lenet import LeNet
from scaleinv.networks.resnet import ResNet
from scaleinv.optim import SGD
from scaleinv.runs.environment import describe, pick_device, set_up
from scaleinv.runs.folder import write_atomically
from scaleinv.spaces import CycleSpace, FixedWeightSpace, GSpace, WeightSpace
from scaleinv.symmetry.network import Network
from scaleinv.training.cell import LR, Cell
from scaleinv.training.data import Dataset, Split
from scaleinv.training.stack import Stack

NETWORKS = {"lenet": (LeNet(), (1, 28, 28)), "resnet20": (ResNet(20), (3, 32, 32))}
SPACES = {
    "weight": WeightSpace(),
    "gspace": GSpace("maxprod", fix="keep"),
    "fixed": FixedWeightSpace("maxprod", "keep"),
    "cycle": CycleSpace(),
}
# So small that no weight grows or vanishes in any space while the clock runs.
RATE, BATCH, BATCHES = 1e-6, 64, 4


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/bench_convolutional"))
    parser.add_argument("--quick", action="store_true", help="LeNet with 1 and 4 members, few rounds: half a minute")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--cpu-seconds", action="store_true", help="count the process's CPU time, on a busy machine")
    options = parser.parse_args()
    device = pick_device(options.device)
    set_up(device, None, tf32=False)
    clock = time.process_time if options.cpu_seconds else time.perf_counter
    rows = []
    for name in ["lenet"] if options.quick else NETWORKS:
        for members in (1, 4) if options.quick else (1, 4, 16):
            seconds = measure(name, members, 3 if options.quick else 8, device, clock)
            rows += [{"network": name, "members": members, "part": part, "seconds": s} for part, s in seconds.items()]
            print(line(name, members, seconds), flush=True)
    facts = {"command": shlex.join(["python", *sys.argv]), "clock": clock.__name__, **describe(device)}
    write_atomically(options.out.with_suffix(".csv"), pd.DataFrame(rows).to_csv(index=False).encode())
    write_atomically(options.out.with_suffix(".json"), (json.dumps(facts, indent=2) + "\n").encode())


def measure(name: str, members: int, rounds: int, device: torch.device, clock: Callable[[], float]) -> dict[str, float]:
    """Return the seconds of a step of all members: of a stack in every space, of the plain loop, and of the floor."""
    architecture, inputs = NETWORKS[name]
    network = architecture.network(inputs, 10)
    data = random_images(network, device)
    loop = PlainLoop([architecture.module(inputs, 10).to(device) for _ in range(members)], data)
    parts: dict[str, Callable[[], object]] = {"floor": loop.differentiate, "plain loop": loop.epoch}
    for space, chosen in SPACES.items():
        axes = {LR: [RATE * (1 + i / members) for i in range(members)]}
        cell = Cell(network, data, chosen, SGD(), axes, [0], BATCH)
        stack = Stack(cell, cell.members)
        parts[space] = lambda stack=stack: stack.train_epoch(1)
    best = dict.fromkeys(parts, float("inf"))
    for _ in range(rounds):
        for part, work in parts.items():
            wait(device)
            began = clock()
            work()
            wait(device)
            best[part] = min(best[part], (clock() - began) / BATCHES)
    return best


def random_images(network: Network, device: torch.device) -> Dataset:
    """Make random images in the network's shape: times do not depend on pixels."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (BATCH * BATCHES, network.features), dtype=torch.uint8, generator=generator)
    split = Split(images, torch.randint(10, (len(images),), generator=generator))
    scale, shift = torch.full((network.features,), 2 / 255), torch.full((network.features,), -1.0)
    return Dataset("random", split, split, None, scale, shift, 10, network.inputs).to(device)


class PlainLoop:
    """Members trained as one would by hand."""

    def __init__(self, models: list[nn.Module], data: Dataset) -> None:
        """Lay the models out channels-last."""
        self._models = [model.to(memory_format=torch.channels_last) for model in models]
        self._optimizers = [torch.optim.SGD(model.parameters(), lr=RATE) for model in models]
        self._data = data
        self._batch = self._images(torch.arange(BATCH, device=data.scale.device))

    def epoch(self) -> Tensor:
        """Train every member on every batch; return the summed losses."""
        order = torch.randperm(len(self._data.train), device=self._data.scale.device)
        total = torch.zeros(len(self._models), device=order.device)
        for index in order.split(BATCH):
            images, labels = self._images(index), self._data.train.labels[index]
            for i, (model, optimizer) in enumerate(zip(self._models, self._optimizers, strict=True)):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(images), labels)
                loss.backward()
                optimizer.step()
                total[i] += loss.detach()
        return total

    def differentiate(self) -> None:
        """Compute the gradient of every member as often as an epoch does, on one batch."""
        labels = self._data.train.labels[:BATCH]
        for _ in range(BATCHES):
            for model in self._models:
                model.zero_grad()
                nn.functional.cross_entropy(model(self._batch), labels).backward()

    def _images(self, index: Tensor) -> Tensor:
        flat = self._data.normalise(self._data.train.images[index])
        images = flat.unflatten(1, self._data.shape)
        # Also for one channel, where ``contiguous`` would leave the strides as they are.
        return torch.empty_like(images, memory_format=torch.channels_last).copy_(images)


def line(name: str, members: int, seconds: dict[str, float]) -> str:
    """Return the ratios for which there are targets."""
    weight = seconds["weight"]
    spaces = ", ".join(f"{space} / weight {seconds[space] / weight:.2f}" for space in SPACES if space != "weight")
    return (
        f"{name:<9} {members:>3} members {weight * 1e3:>9.2f} ms a step: {weight / seconds['floor']:.2f} x floor,"
        f" {weight / seconds['plain loop']:.2f} x plain loop, {spaces}"
    )


def wait(device: torch.device) -> None:
    """Wait until the device has done what was launched."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
