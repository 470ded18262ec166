"""Numbers of every look of a reading that watches steps."""

import torch
from torch import Tensor

from scaleinv.probes.base import Probe, Scene


class Looks:
    """Tensors ``(members, looks, *shape)`` by name, NaN where there was no look yet.

    Attributes:
        count: number of looks so far.
    """

    def __init__(self, probe: Probe, scene: Scene, **shapes: tuple[int, ...]) -> None:
        """Make room for the looks of the whole run.

        Args:
            probe: says how often to look.
            scene: scene of the run.
            shapes: shape of one member's numbers at one look, by name.
        """
        device = next(iter(scene.weights.values())).device
        self.stride = probe.every or scene.steps_per_epoch
        room = -(-scene.epochs * scene.steps_per_epoch // self.stride)
        size = (len(scene.members), room)
        self.values = {
            name: torch.full((*size, *shape), torch.nan, dtype=torch.float64, device=device)
            for name, shape in shapes.items()
        }
        self.count = torch.zeros((), dtype=torch.int64, device=device)

    def add(self, **numbers: Tensor) -> None:
        """Add a look: one tensor ``(members, *shape)`` per name.

        Raises:
            ValueError: training is longer than the cell's epochs.
        """
        look = int(self.count)
        for name, own in self.values.items():
            if look >= own.shape[1]:
                raise ValueError("training is longer than the cell's epochs, for which the probe made room")
            own[:, look] = numbers[name]
        self.count += 1

    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint must hold."""
        return {**self.values, "count": self.count}

    def arrays(self, prefix: str) -> dict[str, Tensor]:
        """Return all numbers, and the steps before each look."""
        size = next(iter(self.values.values())).shape[:2]
        steps = (torch.arange(size[1]) * self.stride).expand(size)
        return {f"{prefix}/{name}": values for name, values in self.values.items()} | {f"{prefix}/steps": steps}
