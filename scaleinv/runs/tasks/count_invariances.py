"""Count the scale invariances of networks by ranks (maths.md, theorems 1 and 2)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from scaleinv.networks.mlp import mlp
from scaleinv.reference import exponents, paths
from scaleinv.runs.config import Config
from scaleinv.runs.environment import describe
from scaleinv.runs.folder import RunFolder
from scaleinv.runs.tasks.base import Task
from scaleinv.symmetry.network import Network

COLUMNS = ("network", "bias", "seed", "parameters", "hidden", "path_rank", "jacobian_rank")


@dataclass(frozen=True)
class CountInvariances(Task):
    """Compare the number of hidden nodes H with m - rank, m the number of weights, for two matrices.

    The structure matrix has a row per path and a column per weight; its rank is m - H for all widths.

    The Jacobian has the derivatives of the outputs at many random inputs with respect to the weights, at random
    weights. Its rank is at most m - H. It is less where nodes are dead or always on, which in narrow ReLU networks may
    be most points. It is less everywhere where there are no biases and a layer of one node (or a single input) comes
    before a hidden layer of several: everything after that node is linear in its value on each side of zero, so only
    the slopes on the two sides remain; (2, 1, 5, 2) has rank 3, not 11. Such networks have more invariances than
    rescaling.

    Attributes:
        widths: numbers of nodes per layer, inputs first; one list per network.
        images: number of random inputs.
    """

    reads: ClassVar[tuple[str, ...]] = ("seeds",)
    widths: list[list[int]]
    images: int

    def run(self, config: Config, folder: RunFolder) -> str:
        """Count; see :meth:`Task.run`."""
        rows: list[tuple[Any, ...]] = [COLUMNS]
        for sizes in self.widths:
            for bias in (False, True):
                network = mlp(sizes, bias)
                m, hidden = network.graph.parameters, network.graph.hidden
                listed = {(str(i), 0): path for i, path in enumerate(paths(network))}
                path_rank = int(np.linalg.matrix_rank(exponents(network, listed)))
                label = "-".join(map(str, sizes))
                for seed in config.seeds:
                    rank = jacobian_rank(network, seed, self.images)
                    rows.append((label, bias, seed, m, hidden, path_rank, rank))
        folder.metrics.unlink(missing_ok=True)
        folder.append(folder.metrics, rows)
        folder.finish((), **describe(torch.device("cpu")))
        return f"{len(rows) - 1} ranks of {len(self.widths)} networks, with and without biases"


def jacobian_rank(network: Network, seed: int, images: int) -> int:
    """Return the rank of d outputs / d weights at random weights and random inputs, in float64.

    Args:
        network: the network.
        seed: seed of the weights and inputs.
        images: number of inputs.
    """
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.randn(images, network.features, dtype=torch.float64, generator=generator)
    shapes = network.graph.shapes
    weights = {name: torch.randn(shape, dtype=torch.float64, generator=generator) for name, shape in shapes.items()}
    network.forward(weights, x)  # makes the module, which cannot be made while it is differentiated
    with torch.enable_grad():
        jacobians = torch.func.jacrev(lambda w: network.forward(w, x))(weights)
    parts = [part.reshape(images * network.outputs, -1) for part in jacobians.values()]
    return int(torch.linalg.matrix_rank(torch.cat(parts, 1), rtol=1e-9))
