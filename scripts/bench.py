"""Measure seconds per run-epoch and compare them with the floor, the time of the matrix products alone.

    python scripts/bench.py --out results/bench [--quick] [--device auto] [--tf32]

Writes OUT.csv (one row per network, space, optimizer and number of members), OUT.machine.json (machine, versions,
command, floors), OUT.pdf/.png and OUT.json (caption). All ratios come from one process: the compared parts take turns,
and the best of several rounds counts, because other users of a shared machine can only add time.
"""

import argparse
import gc
import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from scaleinv.networks.mlp import mlp
from scaleinv.optim import IDENTITY, SGD, Adam
from scaleinv.report.figures.bench import draw
from scaleinv.report.figures.style import save
from scaleinv.report.output import refuse_foreign
from scaleinv.runs.environment import describe, free_bytes, pick_device, set_up
from scaleinv.runs.folder import write_atomically
from scaleinv.runs.tasks.sweep import pick_chunk
from scaleinv.spaces import CycleSpace, FixedWeightSpace, GSpace, WeightSpace
from scaleinv.symmetry.network import Network
from scaleinv.training.cell import LR, Cell
from scaleinv.training.data import Dataset, Slab, Split
from scaleinv.training.stack import Stack

NETWORKS = {"mnist": (784, 64, 64, 64, 64, 10), "cifar10": (3072, 64, 64, 64, 64, 64, 10)}
IMAGES = {"mnist": 60_000, "cifar10": 50_000}
SPACES = {"weight": WeightSpace(), "gspace": GSpace(), "fixed": FixedWeightSpace(), "cycle": CycleSpace()}
OPTIMIZERS = {"sgd": SGD(), "adam": Adam()}
BATCH, TEST_IMAGES, STATES = 64, 10_000, {"sgd": 0, "adam": 2}
# Stacks with more than LARGE members take so long that fewer rounds and fewer evaluated images time them well enough.
LARGE, FEWER_ROUNDS, SCORED = 64, 3, 2_000


@dataclass
class Floor:
    """The machine's peak rates: matrix products (FLOP/s) and copies (bytes/s, read plus written)."""

    matmul: float = 0.0
    copy: float = 0.0

    def measure(self, device: torch.device) -> None:
        """Multiply two 2048 x 2048 float32 matrices and copy 256 MiB; keep the highest rates so far."""
        a = torch.randn(2048, 2048, device=device)
        out = a.clone()
        self.matmul = max(self.matmul, 2 * 2048**3 / _mean_seconds(lambda: torch.mm(a, a, out=out), device, 3))
        source = torch.zeros(2**26, device=device)
        target = source.clone()
        self.copy = max(self.copy, 2 * 2**28 / _mean_seconds(lambda: target.copy_(source), device, 1))

    def step(self, m: int, members: int, states: int, device: torch.device) -> float:
        """Return the least seconds a step can take: arithmetic, and on a GPU memory traffic too.

        A step needs 6 m floating-point operations per image and member.

        Args:
            m: number of weights of a member.
            members: number of members.
            states: tensors of optimizer state per weight tensor.
            device: device of the step.
        """
        arithmetic = 6 * m * BATCH * members / self.matmul
        return max(arithmetic, self.traffic(m, members, states)) if device.type == "cuda" else arithmetic

    def traffic(self, m: int, members: int, states: int) -> float:
        """Return the seconds it takes to read and write weights, gradients and optimizer state once, uncached."""
        return 2 * (2 + states) * m * members * 4 / self.copy


def main() -> None:
    """Measure, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    parser.add_argument("--quick", action="store_true", help="fewer members and rounds: under two minutes")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--tf32", action="store_true")
    options = parser.parse_args()
    device = pick_device(options.device)
    set_up(device, None, options.tf32)
    torch.set_grad_enabled(False)
    sizes, rounds = ([1, 64], 3) if options.quick else ([1, 4, 16, 64, 256, 1024], 7)
    floor, rows = Floor(), []
    for name in NETWORKS:
        serial = measure_serial(name, device)
        for members in sizes:
            for row in measure_stacks(name, members, rounds, device, floor):
                rows.append({**row, "serial_seconds": serial[row["optimizer"]]})
                print(_line(rows[-1], floor, device), flush=True)
    table = finish(rows, floor, device)
    command = shlex.join(["python", *sys.argv])
    machine_facts = {
        "command": command,
        "matmul_gflops": floor.matmul / 1e9,
        "copy_gbytes": floor.copy / 1e9,
        **describe(device),
    }
    machine = options.out.with_suffix(".machine.json")
    save(draw(table, machine_facts), options.out, command=command)
    refuse_foreign(machine, is_ours=lambda old: b'"matmul_gflops"' in old)
    write_atomically(machine, (json.dumps(machine_facts, indent=2) + "\n").encode())
    write_atomically(options.out.with_suffix(".csv"), table.to_csv(index=False, float_format="%.6g").encode())
    print(summary(table, floor))


def measure_stacks(name: str, members: int, rounds: int, device: torch.device, floor: Floor) -> Iterator[dict]:
    """Time steps of every space and optimizer for one number of members; in turns if all fit into memory together."""
    network = mlp(NETWORKS[name])
    data = random_data(network, IMAGES[name] // members, device)
    cases = [(space, optimizer) for space in SPACES for optimizer in OPTIMIZERS]
    m = network.graph.parameters
    needed = [4 * m * members * (3 + STATES[optimizer]) for _, optimizer in cases]
    groups = [cases] if sum(needed) < 0.4 * free_bytes(device) else [[case] for case in cases]
    for group in groups:
        stacks = {case: make_stack(network, data, *case, members) for case in group}
        repeats = max(3, min(300, int(0.1 / (6 * m * BATCH * members / 2e11))))
        best: dict[tuple, dict[str, float]] = {case: {} for case in group}
        for _ in range(rounds if members <= LARGE else min(rounds, FEWER_ROUNDS)):
            floor.measure(device)
            for case, stack in stacks.items():
                for part, seconds in time_parts(stack, repeats, device).items():
                    best[case][part] = min(best[case].get(part, float("inf")), seconds)
            # The time of an evaluation depends on neither the space nor the optimizer, so one stack is enough.
            first = next(iter(stacks.values()))
            scored = first.cell.dataset.val.part(
                torch.arange(TEST_IMAGES if members <= LARGE else SCORED, device=device)
            )
            seconds = _mean_seconds(partial(first.score, scored), device, 1) * TEST_IMAGES / len(scored)
            for parts in best.values():
                parts["evaluation"] = min(parts.get("evaluation", float("inf")), seconds)
        for case in group:
            memory = peak_bytes(stacks[case], device)
            yield {
                "network": name,
                "space": case[0],
                "optimizer": case[1],
                "members": members,
                "memory": memory,
                "auto_chunk": pick_chunk(stacks[case].cell)[0],
                **best[case],
            }
        del stacks
        gc.collect()


def random_data(network: Network, images: int, device: torch.device) -> Dataset:
    """Make a random data set of at least 1,024 images in the shape of the real one: times do not depend on pixels."""
    inputs, n = network.sizes[0], max(1024, images)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (n, inputs), dtype=torch.uint8, generator=generator)
    labels = torch.randint(10, (n,), generator=generator)
    train = Split(images, labels)
    test = train.part(torch.arange(TEST_IMAGES) % n)
    scale = torch.full((inputs,), 2 / 255)
    shift = torch.full((inputs,), -1.0)
    return Dataset("random", train, test, None, scale, shift, 10).to(device)


def make_stack(network: Network, data: Dataset, space: str, optimizer: str, members: int) -> Stack:
    """Make a stack of one seed and many learning rates."""
    axes = {LR: [1e-4 * (1 + i / members) for i in range(members)]}
    cell = Cell(network, data, SPACES[space], OPTIMIZERS[optimizer], axes, [0], BATCH)
    return Stack(cell, cell.members)


def time_parts(stack: Stack, repeats: int, device: torch.device) -> dict[str, float]:
    """Return the seconds of a whole step in an epoch and of its parts, for all members together."""
    steps, data = stack.cell.steps_per_epoch, stack.cell.dataset
    whole = _mean_seconds(lambda: stack.train_epoch(1), device, max(1, repeats // steps)) / steps
    index = torch.randperm(len(data.train))[None, : 16 * BATCH].to(device)
    slab = Slab(data)
    gathering = _mean_seconds(lambda: slab.gather(data.train.images, index), device, 4) / 16
    images, labels = slab.gather(data.train.images, index)[:, :BATCH], data.train.labels[index[:, :BATCH]]
    all_labels = data.train.labels[None, : stack._logits.shape[2]]
    engine, loss = stack.engine, stack.cell.loss
    targets, zeros = loss.targets(labels, 10, torch.float32), torch.zeros_like(stack._step_size)[:, None]

    def differentiate() -> None:
        """Compute the gradient: written out, or added to the weights (times 0) as plain gradient descent does."""
        _, gradient = engine.gradient(stack.weights, images, targets, loss)
        if stack.rule is IDENTITY:
            gradient.add_to_(stack.weights, zeros)
        else:
            gradient.whole(stack.weights)

    arithmetic = _mean_seconds(differentiate, device, max(3, repeats // 8))
    scoring = _mean_seconds(lambda: loss.score(stack._logits, all_labels), device, 4) / (stack._logits.shape[2] / BATCH)
    return {"step": whole, "arithmetic": arithmetic, "gathering": gathering, "scoring": scoring}


def measure_serial(name: str, device: torch.device) -> dict[str, float]:
    """Return seconds per run-epoch of one plain module with torch.optim, autograd and one batch at a time."""
    network = mlp(NETWORKS[name])
    data = random_data(network, 0, device)
    seconds = {}
    for optimizer, cls in (("sgd", torch.optim.SGD), ("adam", torch.optim.Adam)):
        model = network.make().to(device)
        step = partial(_serial_step, data, model, cls(model.parameters(), lr=1e-4))
        seconds[optimizer] = min(_mean_seconds(step, device, 60) for _ in range(6)) * -(-IMAGES[name] // BATCH)
    return seconds


def _serial_step(data: Dataset, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    index = torch.arange(BATCH, device=data.scale.device)
    images, labels = data.normalise(data.train.images[index]), data.train.labels[index]
    with torch.enable_grad():
        loss = torch.nn.functional.cross_entropy(model(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    loss.item()


def peak_bytes(stack: Stack, device: torch.device) -> int:
    """Return the bytes of a stack: its tensors and buffers, and on a GPU everything one epoch allocates."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        stack.train_epoch(1)
        return torch.cuda.max_memory_allocated(device)
    buffers = [*stack.engine.buffers(), *stack.scene.evaluator.buffers()]
    own = [*stack.tensors().values(), *stack.chart.weights.values(), *buffers]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in own}.values())


def finish(rows: list[dict], floor: Floor, device: torch.device) -> pd.DataFrame:
    """Turn the seconds per step into seconds per run-epoch and ratios."""
    table = pd.DataFrame(rows)
    m = table["network"].map(lambda n: mlp(NETWORKS[n]).graph.parameters)
    steps = table["network"].map(IMAGES).floordiv(-BATCH).mul(-1)
    states = table["optimizer"].map(STATES)
    table["seconds"] = table["step"] * steps / table["members"]
    table["floor_seconds"] = [
        floor.step(p, n, s, device) * k / n for p, n, s, k in zip(m, table["members"], states, steps, strict=True)
    ]
    table["traffic_seconds"] = [
        floor.traffic(p, n, s) * k / n for p, n, s, k in zip(m, table["members"], states, steps, strict=True)
    ]
    table["ratio_to_floor"] = table["seconds"] / table["floor_seconds"]
    table["share_evaluation"] = table["evaluation"] / (table["step"] * steps)
    table["share_gathering"] = table["gathering"] / table["step"]
    table["share_scoring"] = table["scoring"] / table["step"]
    rest = table["step"] - table["arithmetic"] - table["gathering"] - table["scoring"]
    table["share_optimizer"] = rest.clip(lower=0) / table["step"]
    table["speed_up_over_serial"] = table["serial_seconds"] / table["seconds"]
    return table


def summary(table: pd.DataFrame, floor: Floor) -> str:
    """Return the ratios for which there are targets, one line per network and number of members."""
    lines = [f"matrix products {floor.matmul / 1e9:.0f} GFLOP/s, copies {floor.copy / 1e9:.0f} GB/s"]
    key = ["network", "members"]
    seconds = table.pivot_table(index=key, columns=["space", "optimizer"], values="seconds")
    ratio = table[(table.space == "weight") & (table.optimizer == "sgd")].set_index(key)
    for (network, members), row in seconds.iterrows():
        own = ratio.loc[(network, members)]
        lines.append(
            f"{network} {members:>4} members: SGD {own['ratio_to_floor']:.2f} x floor,"
            f" G-space / weight {row['gspace', 'sgd'] / row['weight', 'sgd']:.2f} (SGD)"
            f" {row['gspace', 'adam'] / row['weight', 'adam']:.2f} (Adam),"
            f" fixed / weight {row['fixed', 'sgd'] / row['weight', 'sgd']:.2f},"
            f" cycle / weight {row['cycle', 'sgd'] / row['weight', 'sgd']:.2f},"
            f" Adam / SGD {row['weight', 'adam'] / row['weight', 'sgd']:.2f},"
            f" evaluation {own['share_evaluation']:.1%} of the epoch,"
            f" {own['speed_up_over_serial']:.1f} x faster than serial"
        )
    return "\n".join(lines)


def _line(row: dict, floor: Floor, device: torch.device) -> str:
    m = mlp(NETWORKS[row["network"]]).graph.parameters
    least = floor.step(m, row["members"], STATES[row["optimizer"]], device)
    return (
        f"{row['network']:<8} {row['space']:<7} {row['optimizer']:<5} {row['members']:>5} members"
        f" {row['step'] * 1e3:>9.3f} ms a step, {row['step'] / least:.2f} x floor, {row['memory'] / 2**20:.0f} MiB"
    )


def _mean_seconds(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Return the mean seconds of a call over ``repeats`` calls; the first of the caller's rounds warms up."""
    _wait(device)
    began = time.perf_counter()
    for _ in range(repeats):
        work()
    _wait(device)
    return (time.perf_counter() - began) / repeats


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
