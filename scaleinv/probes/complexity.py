"""The data-dependent path complexity during training, and its ratio to the margin."""

from dataclasses import dataclass

import torch
from torch import Tensor

from scaleinv.probes.base import Probe, Reading, Scene
from scaleinv.symmetry.complexity import COVARIANCE, Complexity

COLUMNS = ("gamma_net", "margin", "gamma_over_margin")


@dataclass(frozen=True, kw_only=True)
class ComplexityProbe(Probe):
    """gamma_net of Neyshabur et al. 2016 over training images, the margin on them, and the ratio of the two.

    The margin of an image is the output of its label less the largest other output. Dividing by it makes the complexity
    comparable between networks that differ by a factor in their outputs. Where the margin is not positive, the ratio is
    infinite.

    Attributes:
        alpha: share of the data in the complexity; see :class:`scaleinv.symmetry.complexity.Complexity`.
        moment: ``covariance`` or ``second_moment``.
        images: number of training images, evenly spaced; all of them if the data set has fewer.
        quantile: share of these images whose margins may be smaller than the margin of the network.
    """

    alpha: float = 0.0
    moment: str = COVARIANCE
    images: int = 1000
    quantile: float = 0.05

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        Complexity(self.alpha, self.moment)
        if self.images < 1:
            raise ValueError(f"images must be at least 1, got {self.images}")
        if not 0 <= self.quantile <= 1:
            raise ValueError(f"quantile must be from 0 to 1, got {self.quantile}")

    def columns(self, scene: Scene) -> tuple[str, ...]:
        """Return the same names for every scene; see :meth:`Probe.columns`."""
        return COLUMNS

    def attach(self, scene: Scene) -> "ComplexityReading":
        """Take the images; see :meth:`Probe.attach`."""
        scene.data.require_labels("the probe complexity, which measures margins,")
        return ComplexityReading(scene, self)


class ComplexityReading(Reading):
    """See :class:`ComplexityProbe`."""

    def __init__(self, scene: Scene, options: ComplexityProbe) -> None:
        """Take every (n / images)-th of n training images, and measure once, which refuses a network without paths."""
        n = len(scene.data.train)
        images = min(options.images, n)
        index = torch.arange(images, device=scene.data.train.labels.device) * n // images
        part = scene.data.train.part(index)
        self._scene, self._options = scene, options
        self._images, self._labels = scene.data.normalise(part.images)[None], part.labels
        self._numbers = torch.zeros(len(COLUMNS), len(scene.members), dtype=torch.float64, device=index.device)
        self.look()

    def look(self) -> None:
        """Measure, one member at a time; see :meth:`Reading.look`."""
        complexity, scene = Complexity(self._options.alpha, self._options.moment), self._scene
        for i in range(len(scene.members)):
            weights, statistics = (
                {n: t[i : i + 1] for n, t in nest.items()} for nest in (scene.weights, scene.statistics)
            )
            with torch.no_grad():
                samples = complexity.samples(scene.network, weights, self._images, statistics)
            outputs = samples.outputs[0].double()
            own = outputs.gather(1, self._labels[:, None])
            others = outputs.scatter(1, self._labels[:, None], -torch.inf).amax(1)
            margin = (own[:, 0] - others).nan_to_num(-torch.inf).quantile(self._options.quantile, interpolation="lower")
            gamma = samples.squared_gamma[0].double().sqrt()
            self._numbers[0, i], self._numbers[1, i] = gamma, margin
            self._numbers[2, i] = torch.where(margin > 0, gamma / margin, torch.inf)

    def read(self) -> dict[str, Tensor]:
        """Return the numbers at the last look; see :meth:`Reading.read`."""
        return dict(zip(COLUMNS, self._numbers.cpu().clone(), strict=True))

    def tensors(self) -> dict[str, Tensor]:
        """Return the numbers; see :meth:`Reading.tensors`."""
        return {"numbers": self._numbers}
