"""Draw what a rescaling does to the coordinates of each space: ``python scripts/draw_spaces.py``.

The picture is docs/pictures/spaces.svg. The spaces compute all that it shows: one hidden node has
a weight in, a, and two out, b and c.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from torch import nn

from scaleinv.report.figures.style import BLACK, BLUE, ORANGE, Drawing, panels, styled
from scaleinv.spaces import CycleSpace, FixedWeightSpace, GSpace, ParameterSpace, WeightSpace
from scaleinv.symmetry.trace import describe, read_weights
from scaleinv.wrappers import SpaceOptimizer

PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "spaces.svg"
WEIGHTS, TARGETS, LR = {"a": 1.2, "b": 1.5, "c": 0.8}, (0.6, 1.8), 0.1
COLOURS = {"a": BLACK, "b": BLUE, "c": ORANGE}
# Title, space, and what the coordinate at each weight is; b is the skeleton's weight.
SPACES: dict[str, tuple[ParameterSpace, dict[str, str]]] = {
    "weight space": (WeightSpace(), {"a": "a", "b": "b", "c": "c"}),
    "fixed-weight space": (FixedWeightSpace(fix="keep"), {"a": "a", "b": "fixed", "c": "c"}),
    "G-space": (GSpace("maxprod", fix="keep"), {"a": "ab", "b": "fixed", "c": "ac"}),
    "cycle space": (CycleSpace(normalise="none"), {"a": "ab", "b": "fixed", "c": "c / b"}),
}


def network(scale: float) -> nn.Sequential:
    """Return the network, with a multiplied and b and c divided by ``scale``."""
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(), nn.Linear(1, 2, bias=False)).double()
    with torch.no_grad():
        model[0].weight.fill_(WEIGHTS["a"] * scale)
        model[2].weight[:, 0] = torch.tensor([WEIGHTS["b"], WEIGHTS["c"]], dtype=torch.float64) / scale
    return model


def coordinates(space: ParameterSpace, scale: float) -> dict[str, float]:
    """Return the coordinates at the free weights of the rescaled network."""
    model = network(scale)
    graph = describe(model).graph
    chart = space.chart(graph, read_weights(model, graph))
    coords, fixed = chart.to_coords(chart.start()), chart.fixed()
    flat = torch.cat([coords[name].flatten() for name in ("0.weight", "2.weight")])
    masks = [fixed.get(name, torch.zeros_like(coords[name], dtype=torch.bool)) for name in ("0.weight", "2.weight")]
    is_fixed = torch.cat([mask.flatten() for mask in masks])
    return {name: c for name, c, gone in zip(WEIGHTS, flat.tolist(), is_fixed.tolist(), strict=True) if not gone}


def outputs_after_a_step(space: ParameterSpace, scale: float) -> list[float]:
    """Return the outputs for the input 1, after a step of gradient descent on the squared error."""
    model, image = network(scale), torch.ones(1, 1).double()
    optimizer = SpaceOptimizer(model, space, torch.optim.SGD, lr=LR)
    (0.5 * (model(image) - torch.tensor([TARGETS], dtype=torch.float64)).square().sum()).backward()
    optimizer.step()
    return model(image)[0].tolist()


def sketch(ax: Axes, labels: dict[str, str]) -> None:
    """Draw the network with its coordinates."""
    ends = {"a": ((0, 0), (1, 0)), "b": ((1, 0), (2, 0.5)), "c": ((1, 0), (2, -0.5))}
    for name, ((x, y), (u, v)) in ends.items():
        is_fixed = labels[name] == "fixed"
        ax.plot(
            [x, u], [y, v], color="0.6" if is_fixed else COLOURS[name], linestyle=":" if is_fixed else "-", zorder=1
        )
        place = ((x + u) / 2, (y + v) / 2 + (-0.2 if name == "c" else 0.2))
        ax.annotate(labels[name], place, ha="center", va="center", color="0.5" if is_fixed else COLOURS[name])
    ax.scatter([0, 1, 2, 2], [0, 0, 0.5, -0.5], s=40, color="white", edgecolor="black", linewidth=0.8, zorder=2)
    ax.set(xlim=(-0.2, 2.2), ylim=(-0.9, 0.9))
    ax.set_axis_off()


@styled
def draw() -> Drawing:
    """Draw a column for each space: its coordinates, how they change with the scale, and what a step then does."""
    figure, axes = panels(len(SPACES), 3, width=7.5, height=4.8)
    scales, rows = np.geomspace(0.25, 4, 33), []
    for column, (title, (space, labels)) in enumerate(SPACES.items()):
        top, middle, bottom = axes[column :: len(SPACES)]
        top.set_title(title)
        sketch(top, labels)
        coords = pd.DataFrame([coordinates(space, scale) for scale in scales], index=scales)
        outputs = pd.DataFrame([outputs_after_a_step(space, scale) for scale in scales], index=scales)
        for name in coords:
            middle.loglog(scales, coords[name], color=COLOURS[name], base=2)
        bottom.plot(scales, outputs[0], color="0.2", label="first")
        bottom.plot(scales, outputs[1], color="0.2", linestyle="--", label="second")
        bottom.set_xscale("log", base=2)
        middle.set_ylim(2**-3, 2**3)
        bottom.set_ylim(-1, 3.5)
        for ax in (middle, bottom):
            ax.set_xticks([0.25, 1, 4], ["¼", "1", "4"])
        middle.set_yticks([0.25, 1, 4], ["¼", "1", "4"])
        rows.append(
            coords.add_prefix("coordinate ").join(outputs.add_prefix("output ")).assign(space=title, scale=scales)
        )
    axes[len(SPACES)].set_ylabel("coordinates")
    axes[2 * len(SPACES)].set_ylabel("outputs after one step")
    figure.supxlabel("λ: the network is rescaled, a times λ, b and c divided by λ", fontsize=8)
    return Drawing(
        figure, pd.concat(rows, ignore_index=True), "What a rescaling does to the coordinates of each space."
    )


def main() -> None:
    """Write the picture."""
    PICTURE.parent.mkdir(exist_ok=True)
    draw().figure.savefig(PICTURE, metadata={"Date": None})


if __name__ == "__main__":
    main()
