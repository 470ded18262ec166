"""Seconds per run-epoch against the number of members, with the floor."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from scaleinv.report.figures.methods import method_series
from scaleinv.report.figures.style import BLUE, PAGE, Drawing, panels, styled
from scaleinv.report.methods import OPTIMIZER_NAMES
from scaleinv.runs.records import MissingError

SHORT = {"gspace": "G"}


def draw_study(folder: Path) -> tuple[Drawing, list[Path]]:
    """Draw the benchmark that is published beside a study.

    Raises:
        MissingError: there is none.
    """
    stem = folder.parent / "bench" / "bench"
    files = [stem.with_suffix(".csv"), stem.with_suffix(".machine.json")]
    if missing := [path for path in files if not path.exists()]:
        raise MissingError("there is no benchmark beside the study", missing[0], "make bench")
    return draw(pd.read_csv(files[0]), json.loads(files[1].read_text())), files


@styled
def draw(table: pd.DataFrame, machine: dict[str, Any]) -> Drawing:
    """Draw one panel per network.

    Args:
        table: the CSV of ``scripts/bench.py``.
        machine: the contents of its ``.machine.json``.
    """
    networks = list(dict.fromkeys(table["network"]))
    figure, axes = panels(len(networks), width=PAGE + 1, height=3.2)
    for ax, network in zip(axes, networks, strict=True):
        part = table[table["network"] == network]
        for (space, optimizer), rows in part.groupby(["space", "optimizer"], sort=False):
            how = method_series(f"{OPTIMIZER_NAMES[str(optimizer)]} / {SHORT.get(str(space), space)}")
            ax.plot(rows["members"], rows["seconds"], label=how.label, **how.style)
        floor = part[part["optimizer"] == "sgd"].drop_duplicates("members")
        ax.plot(floor["members"], floor["floor_seconds"], color=BLUE, linewidth=2.5, alpha=0.5, label="floor")
        ax.axhline(part["serial_seconds"].min(), color=BLUE, linestyle=":", label="serial reference, SGD")
        ax.set_xscale("log")
        ticks = sorted(set(part["members"]))
        ax.set_xticks(ticks, list(map(str, ticks)))
        ax.xaxis.minorticks_off()
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:g}"))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.set_xlabel("members")
        ax.set_ylabel("seconds per run-epoch")
        ax.set_title(f"{network} network")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    caption = (
        f"Seconds per run and epoch on {machine['device_name']}, {machine['threads']} threads,"
        f" torch {machine['versions']['torch']}; best of several rounds. Floor: 6 x parameters x images at"
        f" {machine['matmul_gflops']:.0f} GFLOP/s, the rate of a 2048 x 2048 float32 product in the same process."
    )
    return Drawing(figure, table, caption)
