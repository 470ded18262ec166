"""Which learning rates would change how many patterns: heat maps of time and learning rate (P 3.2.3)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scaleinv.patterns.transitions import MODELS
from scaleinv.probes._looks import Looks
from scaleinv.probes.base import Probe, Reading, Scene

if TYPE_CHECKING:
    from scaleinv.training.trial import Trial

COLUMNS = ("sensitivity_mu", "sensitivity_sigma", "sensitivity_error")


@dataclass(frozen=True, kw_only=True)
class Sensitivity(Probe):
    """Try a step at many learning rates along its one direction, all in one stacked forward pass.

    The columns ``sensitivity_mu`` and ``sensitivity_sigma`` fit ``D = Phi((ln eta - mu) / sigma)`` to the mean over the
    layers at the epoch's last look, and ``sensitivity_error`` is the root of the mean squared difference: where mu is
    small, small learning rates change many patterns.

    ``arrays.safetensors`` holds ``sensitivity/distance``, ``(members, looks, lrs, layers)``: the share D of the batch's
    patterns that the step would change; ``sensitivity/by_image``, ``(members, looks, lrs, images)``: the same per
    image, averaged over the layers, for bootstrap intervals; ``sensitivity/lrs``, ``(members, lrs)``;
    ``sensitivity/lr``, the learning rate that was used, ``(members, looks)``; and ``sensitivity/steps``.

    Attributes:
        every: number of steps between two looks; 0 looks at the first step of every epoch.
        lowest: lowest learning rate.
        highest: highest learning rate.
        points: number of learning rates, evenly spaced in their logarithm.
        images: number of images, the first of the batch, whose shares are kept for intervals.
    """

    lowest: float = 1e-4
    highest: float = 1e2
    points: int = 50
    images: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        if not 0 < self.lowest < self.highest:
            raise ValueError(f"lowest must be above 0 and below highest, got {self.lowest} and {self.highest}")
        if self.points < 2 or self.images < 0:
            raise ValueError(f"points must be at least 2 and images at least 0, got {self.points} and {self.images}")

    def columns(self, scene: Scene) -> tuple[str, ...]:
        """Return the parameters of the fit; see :meth:`Probe.columns`."""
        return COLUMNS

    def attach(self, scene: Scene) -> "SensitivityReading":
        """Make room for all looks; see :meth:`Probe.attach`."""
        return SensitivityReading(self, scene)


class SensitivityReading(Reading):
    """See :class:`Sensitivity`."""

    watches = True

    def __init__(self, probe: Sensitivity, scene: Scene) -> None:
        """Make room."""
        device = next(iter(scene.weights.values())).device
        low, high = torch.tensor([probe.lowest, probe.highest], dtype=torch.float64).log10().tolist()
        self._lrs = torch.logspace(low, high, probe.points, dtype=torch.float64, device=device)
        self._members = len(scene.members)
        layers = len(scene.evaluator.widths(scene.weights))
        self._images = probe.images
        self._looks = Looks(probe, scene, distance=(probe.points, layers), by_image=(probe.points, probe.images), lr=())

    def before(self, trial: "Trial") -> None:
        """Try the step at all learning rates; see :meth:`Reading.before`."""
        lrs = self._lrs[:, None].expand(-1, self._members)
        changes = trial.changes(lrs)
        by_image = changes.by_image[..., : self._images].transpose(0, 1)
        missing = self._images - by_image.shape[-1]  # of a batch with fewer images
        by_image = torch.nn.functional.pad(by_image, (0, missing), value=torch.nan)
        self._looks.add(distance=changes.shares.transpose(0, 1), by_image=by_image, lr=trial.lrs)

    def look(self) -> None:
        """Do nothing: the step has been looked at before it was taken."""

    def read(self) -> dict[str, Tensor]:
        """Fit the epoch's last look; NaN before the first; see :meth:`Reading.read`."""
        etas, looks = self._lrs.cpu().numpy(), int(self._looks.count)
        rows = []
        for shares in self._looks.values["distance"][:, looks - 1].mean(-1).cpu() if looks else ():
            fit = MODELS["log"].fit(etas, shares.numpy())
            rows.append([*fit.parameters.values(), fit.rmse])
        numbers = torch.tensor(rows or [[torch.nan] * len(COLUMNS)] * self._members, dtype=torch.float64)
        return dict(zip(COLUMNS, numbers.T, strict=True))

    def tensors(self) -> dict[str, Tensor]:
        """Return all looks; see :meth:`Reading.tensors`."""
        return self._looks.tensors()

    def arrays(self) -> dict[str, Tensor]:
        """Return all looks; see :meth:`Reading.arrays`."""
        return self._looks.arrays("sensitivity") | {"sensitivity/lrs": self._lrs.expand(self._members, -1)}
