"""Write the cells of random networks in the plane as polygons, for drawing (P 2.2.3, figures 2.4 to 2.9)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from scaleinv.patterns.cells import cut
from scaleinv.patterns.plane import Plane
from scaleinv.patterns.uniform import uniform_network
from scaleinv.runs.config import Config
from scaleinv.runs.environment import describe
from scaleinv.runs.folder import RunFolder
from scaleinv.runs.tasks.base import Task
from scaleinv.runs.tasks.cells import NORMS, SQUARE

COLUMNS = ("panel", "setting", "width", "layer", "patterns", "polygon", "color", "u", "v")
# Number of colours; cells that touch may share one, so counts never come from colours.
COLORS = 20


@dataclass(frozen=True)
class CellImages(Task):
    """Rows of ``metrics.csv``: panel, polygon, colour of its pattern, and one corner; polygons in order, corners too.

    Attributes:
        panels: mappings with ``label``, ``width``, ``layer``, and ``setting``: ``bias 1``, ``uniform biases``,
            ``batch norm, beta 0`` or ``batch norm, beta 1``.
    """

    reads: ClassVar[tuple[str, ...]] = ("seeds",)
    panels: list[dict[str, Any]]

    def __post_init__(self) -> None:
        """Check the keys of every panel."""
        for panel in self.panels:
            if sorted(panel) != ["label", "layer", "setting", "width"] or panel["setting"] not in NORMS:
                raise ValueError(
                    f"panels must give label, width, layer and a setting of {', '.join(NORMS)}; got {panel}"
                )

    def run(self, config: Config, folder: RunFolder) -> str:
        """Cut every panel's square for the first seed; see :meth:`Task.run`."""
        rows: list[tuple[Any, ...]] = [COLUMNS]
        for panel in self.panels:
            width, layer = int(panel["width"]), int(panel["layer"])
            network, tensors = uniform_network(width, layer, config.seeds[0], *NORMS[panel["setting"]])
            cells = cut(network, tensors, Plane.whole(), SQUARE)
            colors = cells.layers[-1].remainder(COLORS).tolist()
            head = (panel["label"], panel["setting"], width, layer, cells.counts[-1])
            for polygon, (corners, size, color) in enumerate(zip(cells.corners, cells.sizes, colors, strict=True)):
                rows += [(*head, polygon, color, f"{u:.5g}", f"{v:.5g}") for u, v in corners[:size]]
        folder.metrics.unlink(missing_ok=True)
        folder.append(folder.metrics, rows)
        folder.finish((), **describe(torch.device("cpu")))
        return f"{len(self.panels)} panels, {len(rows) - 1} corners"
