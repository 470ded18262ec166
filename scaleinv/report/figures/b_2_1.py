"""A hill on a local minimum, and the kernel for several widths (B, figures 2.1 and 2.2)."""

import numpy as np
import pandas as pd

from scaleinv.report.figures.style import BLACK, BLUE, GREEN, ORANGE, PAGE, RED, Drawing, panels, styled
from scaleinv.report.pushes import strengths, widths

EXPERIMENT = "push"
COLOURS = (ORANGE, GREEN, BLUE, BLACK, RED)


@styled
def draw(records: pd.DataFrame) -> Drawing:
    """Draw both; strengths and widths are those of the experiment."""
    figure, (left, right) = panels(2, width=PAGE, height=2.5)
    x = np.linspace(-1.0, 2.0, 301)
    plain = (x - 2 / 3) ** 2 * (x**2 - x + 1)
    hill = plain + 0.3 * np.exp(-((x - 2 / 3) ** 2) / (2 * 0.3**2))
    left.plot(x, plain, color=RED, label="loss")
    left.plot(x, hill, color=BLACK, label="with a hill at the minimum")
    left.set_ylim(0, 1.2)
    left.legend()
    parts = [pd.DataFrame({"curve": name, "x": x, "y": y}) for name, y in (("loss", plain), ("with a hill", hill))]
    far = np.linspace(0, 3 * max(widths(records)), 301)
    for width, colour in zip(widths(records), COLOURS * 9, strict=False):
        height = np.exp(-(far**2) / (2 * width**2))
        right.plot(far, height, color=colour, label=f"width {width:g}")
        parts.append(pd.DataFrame({"curve": f"width {width:g}", "x": far, "y": height}))
    right.set_xlabel("distance from the checkpoint")
    right.set_ylabel("kernel")
    right.legend()
    caption = (
        "Left: a loss with a minimum at 2/3, and the same with a Gaussian hill on it, which moves the minimum. Right:"
        f" the kernel exp(-d / 2 width^2) against the distance, d its square, for the widths of the experiment, whose"
        f" strengths are {', '.join(f'{s:g}' for s in strengths(records))}. Formulas; no training."
    )
    return Drawing(figure, pd.concat(parts, ignore_index=True), caption)
