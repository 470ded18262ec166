"""What a probe is."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

from scaleinv.spaces.base import Chart
from scaleinv.symmetry.network import Network

if TYPE_CHECKING:
    from scaleinv.training.cell import Member
    from scaleinv.training.data import Dataset
    from scaleinv.training.evaluate import Evaluator
    from scaleinv.training.trial import Trial


def no_kept_weights(name: str, member: "Member") -> dict[str, Tensor]:
    """Refuse a name of kept weights, where no run knows it.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"there are no kept weights {name!r} here: only scaleinv-run reads those of other runs")


@dataclass(frozen=True)
class Scene:
    """What a probe may read; it must not change any of it.

    Attributes:
        network: network that is trained.
        chart: chart that it is trained in.
        data: data set that it is trained on.
        members: members of the stack, in the order of the member dim.
        weights: tensors ``(members, own shape)`` in the chart's own gauge; the same tensors are trained in place.
        evaluator: scores ``weights`` on a split at any time, without an effect on training.
        steps_per_epoch: number of batches in an epoch.
        epochs: number of epochs of the whole run.
        statistics: running statistics and other buffers of the members, ``(members, ...)``; changed in place.
        kept: function from a name ``run@kept`` and a member to the weights that another run kept for that member.
    """

    network: Network
    chart: Chart
    data: "Dataset"
    members: "Sequence[Member]"
    weights: dict[str, Tensor]
    evaluator: "Evaluator"
    steps_per_epoch: int = 0
    epochs: int = 0
    statistics: Mapping[str, Tensor] = field(default_factory=dict)
    kept: "Callable[[str, Member], dict[str, Tensor]]" = no_kept_weights


@dataclass(frozen=True, kw_only=True)
class Probe(ABC):
    """Options of a measurement. Subclasses are frozen dataclasses; their fields are its configuration keys.

    Attributes:
        every: number of steps from one look at the weights to the next; 0 looks once per epoch, at its end.
    """

    every: int = 0

    def __post_init__(self) -> None:
        """Check the range."""
        if self.every < 0:
            raise ValueError(f"every must be a number of steps, or 0 for once per epoch, got {self.every}")

    @abstractmethod
    def columns(self, scene: Scene) -> tuple[str, ...]:
        """Return the names of the columns it adds to ``metrics.csv``, one number per member and epoch each."""

    @abstractmethod
    def attach(self, scene: Scene) -> "Reading":
        """Attach the probe to a scene, at its starting weights.

        Raises:
            ValueError: the scene lacks what the probe measures.
        """


class Reading(ABC):
    """A probe attached to a stack.

    Attributes:
        watches: whether :meth:`before` is to be called.
    """

    watches: bool = False

    def before(self, trial: "Trial") -> None:
        """Look at a step before it is taken: the first, then one in ``every``; with ``every=0`` each epoch's first.

        Args:
            trial: the step, which can be tried at any learning rate.
        """
        return

    @abstractmethod
    def look(self) -> None:
        """Look at the scene's weights.

        With ``every=1`` this is part of the step, which a GPU may capture: in-place tensor operations only.
        """

    @abstractmethod
    def read(self) -> dict[str, Tensor]:
        """Return the epoch's numbers, ``(members,)`` for each of the columns, and begin the next epoch."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint must hold."""

    def arrays(self) -> dict[str, Tensor]:
        """Return results that are not columns (histograms, heat maps), ``(members, ...)`` by name.

        A run calls this once, at the end, and writes them to ``arrays.safetensors``. What they are computed from
        must be part of :meth:`tensors`.
        """
        return {}
