"""The loss surface of networks with one hidden node (thesis, figures 1.1, 1.5, 1.6 and 4.9)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from scaleinv.networks.mlp import MLP, mlp
from scaleinv.runs.config import Config
from scaleinv.runs.environment import describe
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.folder import RunFolder
from scaleinv.runs.tasks.base import Task


@dataclass(frozen=True)
class Surface(Task):
    """Evaluate ``y = w_out * relu(w_1 + ... + w_n)``, all inputs 1, with the loss ``sin(y)``, on grids of weights.

    Attributes:
        inputs: number of inputs n; the weights are called w1 to wn, and the outgoing one w(n+1).
        panels: mappings with ``label`` and, for every weight, a number or ``[low, high, points]``.
    """

    reads: ClassVar[tuple[str, ...]] = ("network.name", "network.negative_slope")
    inputs: int
    panels: list[dict[str, Any]]

    def __post_init__(self) -> None:
        """Check that every panel has every weight."""
        for panel in self.panels:
            if sorted(panel) != ["label", *self.names]:
                raise ValueError(f"a panel must give label, {', '.join(self.names)}; got {', '.join(sorted(panel))}")

    @property
    def names(self) -> list[str]:
        """Names of the weights."""
        return [f"w{i}" for i in range(1, self.inputs + 2)]

    def prepare(self, config: Config) -> None:
        """Check that the network is fully connected; see :meth:`Task.prepare`."""
        if not isinstance(config.network, MLP):
            raise ConfigError("the surfaces are those of fully connected networks", "network", "set network=mlp")

    def run(self, config: Config, folder: RunFolder) -> str:
        """Evaluate all panels; see :meth:`Task.run`."""
        assert isinstance(config.network, MLP)
        slope = config.network.negative_slope
        network = mlp((self.inputs, 1, 1), negative_slope=slope)
        first, second = network.chain[0].weight, network.chain[1].weight
        gradients = [f"g{name}" for name in self.names]
        rows: list[tuple[Any, ...]] = [("panel", "slope", *self.names, "output", "loss", *gradients)]
        for panel in self.panels:
            axes = [_axis(panel[name]) for name in self.names]
            points = torch.cartesian_prod(*axes).double().requires_grad_()
            with torch.enable_grad():
                named = {first: points[:, None, : self.inputs], second: points[:, None, self.inputs :]}
                output = network.forward(named, torch.ones(len(points), 1, self.inputs, dtype=torch.float64)).flatten()
                loss = torch.sin(output)
                (gradient,) = torch.autograd.grad(loss.sum(), points)
            columns = (points.detach(), output.detach()[:, None], loss.detach()[:, None], gradient)
            rows += [(panel["label"], slope, *row) for row in torch.cat(columns, 1).tolist()]
        folder.metrics.unlink(missing_ok=True)
        folder.append(folder.metrics, rows)
        folder.finish((), **describe(torch.device("cpu")))
        return f"{len(rows) - 1} points in {len(self.panels)} panels"


def _axis(given: Any) -> torch.Tensor:
    """Return evenly spaced points for ``[low, high, points]``, or one point for a number."""
    if isinstance(given, list):
        low, high, points = given
        return torch.linspace(low, high, int(points), dtype=torch.float64)
    return torch.tensor([float(given)], dtype=torch.float64)
