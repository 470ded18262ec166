"""How many patterns of its batch a training step changes: the activation pattern temperature (P 3.2)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scaleinv.patterns.distance import temperature
from scaleinv.probes._looks import Looks
from scaleinv.probes.base import Probe, Reading, Scene

if TYPE_CHECKING:
    from scaleinv.training.trial import Trial

MEAN = "mean"


@dataclass(frozen=True, kw_only=True)
class Temperature(Probe):
    """Record ``T = -log2(1 - D)`` in bits, D being the share of patterns that a step changes.

    The columns hold, per layer and for the mean of D over the layers, D averaged over the epoch's looks, its
    temperature, and the share of bits that flip; ``arrays.safetensors`` every look: ``temperature/distance`` and
    ``temperature/flips``, ``(members, looks, layers)``, ``temperature/lr``, ``(members, looks)``, and
    ``temperature/steps``. T of the mean is not the mean of T, which one saturated layer makes infinite; D is taken as
    at most ``1 - 1 / (2 M)`` with M samples, so T never exceeds ``1 + log2 M`` bits.
    """

    every: int = 8

    def __post_init__(self) -> None:
        """Check the range."""
        super().__post_init__()
        if self.every < 1:
            raise ValueError("every must be at least 1: a temperature belongs to one step")

    def columns(self, scene: Scene) -> tuple[str, ...]:
        """Return one name per layer and measure; see :meth:`Probe.columns`."""
        layers = [*range(1, len(scene.evaluator.widths(scene.weights)) + 1), MEAN]
        return tuple(f"{name}_{layer}" for name in ("distance", "temperature", "flips") for layer in layers)

    def attach(self, scene: Scene) -> "TemperatureReading":
        """Make room for all looks; see :meth:`Probe.attach`."""
        return TemperatureReading(self, scene)


class TemperatureReading(Reading):
    """See :class:`Temperature`."""

    watches = True

    def __init__(self, probe: Temperature, scene: Scene) -> None:
        """Make room."""
        self._names, layers = probe.columns(scene), len(scene.evaluator.widths(scene.weights))
        self._looks = Looks(probe, scene, distance=(layers,), flips=(layers,), lr=())
        # The first look of the present epoch, and the number of samples of the layer with the fewest.
        self._first, self._samples = (torch.zeros_like(self._looks.count) for _ in range(2))

    def before(self, trial: "Trial") -> None:
        """Compare the patterns before and after the step; see :meth:`Reading.before`."""
        changes = trial.changes(trial.lrs[None])
        self._samples.fill_(trial.samples)
        self._looks.add(distance=changes.shares[0], flips=changes.flips[0], lr=trial.lrs)

    def look(self) -> None:
        """Do nothing: the step has been looked at before it was taken."""

    def read(self) -> dict[str, Tensor]:
        """Return the means over the epoch's looks; see :meth:`Reading.read`."""
        looks = slice(int(self._first), int(self._looks.count))
        shares, flips = (self._looks.values[name][:, looks].mean(1) for name in ("distance", "flips"))
        shares, flips = (torch.cat([t, t.mean(-1, keepdim=True)], -1) for t in (shares, flips))
        bits = temperature(shares.clamp(max=1 - 1 / (2 * max(1, int(self._samples)))))
        self._first.copy_(self._looks.count)
        return dict(zip(self._names, torch.cat([shares, bits, flips], -1).T.cpu(), strict=True))

    def tensors(self) -> dict[str, Tensor]:
        """Return all looks; see :meth:`Reading.tensors`."""
        return {**self._looks.tensors(), "first": self._first, "samples": self._samples}

    def arrays(self) -> dict[str, Tensor]:
        """Return all looks; see :meth:`Reading.arrays`."""
        return self._looks.arrays("temperature")
