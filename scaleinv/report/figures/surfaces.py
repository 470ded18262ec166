"""A loss over two weights as a picture. Helper of figures."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes


def surface(ax: Axes, points: pd.DataFrame, x: str, y: str) -> Any:
    """Draw the loss over the weights ``x`` and ``y``, between -1 and 1."""
    grid = points.pivot(index=y, columns=x, values="loss")
    image = ax.pcolormesh(
        grid.columns, grid.index, grid.to_numpy(), vmin=-1, vmax=1, cmap="RdBu_r", shading="gouraud", rasterized=True
    )
    ax.set_xlabel(f"${x[0]}_{x[1]}$")
    ax.set_ylabel(f"${y[0]}_{y[1]}$", rotation=0)
    return image
