"""Pushes away from checkpoints."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from scaleinv.minima.rulers import Place, Ruler
from scaleinv.penalties.base import Penalty, Term
from scaleinv.symmetry.members import PerMember, per_entry

HillsT = TypeVar("HillsT", bound="Hills")

if TYPE_CHECKING:
    from scaleinv.probes.base import Scene


@dataclass(frozen=True, kw_only=True)
class Repulsion(Penalty):
    """A term that is largest at some checkpoints, which are earlier states of this run or kept weights of others.

    Attributes:
        checkpoints: numbers of epochs, after which this run's own weights become a checkpoint; and texts ``run@kept``:
            the folder of a finished run (or its name beside this run's), and ``last``, ``best`` or a number of epochs.
        merged: whether all checkpoints so far count as one, in their mean; else their terms add up.
    """

    strength: PerMember = 1.0
    checkpoints: list[int | str]
    merged: bool = False

    def __post_init__(self) -> None:
        """Check the checkpoints."""
        super().__post_init__()
        if not self.checkpoints:
            raise ValueError("checkpoints must name at least one, got an empty list")
        for one in self.checkpoints:
            if isinstance(one, str):
                run, _, kept = one.rpartition("@")
                if not run or not kept:
                    raise ValueError(f"checkpoints of other runs are written run@epoch, got {one!r}")
            elif one < 0:
                raise ValueError(f"checkpoints are made after 0 epochs or more, got {one}")

    @abstractmethod
    def ruler(self, scene: "Scene") -> Ruler:
        """Return what says how far apart two networks are."""

    @abstractmethod
    def slope(self, scene: "Scene") -> "Slope":
        """Return how high the term is at a distance."""

    def attach(self, scene: "Scene") -> "Hills":
        """Read the checkpoints of other runs, and make room for those of this one; see :meth:`Penalty.attach`."""
        return self._made(Hills, scene)

    def _made(self, kind: type[HillsT], scene: "Scene") -> HillsT:
        for one in self.checkpoints:
            if isinstance(one, int) and 0 < scene.epochs <= one:
                raise ValueError(f"a checkpoint after epoch {one} has no effect: the run has {scene.epochs} epochs")
        hills = kind(self.ruler(scene), self.slope(scene), self.checkpoints, self.merged, scene.weights)
        for i, one in enumerate(self.checkpoints):
            if isinstance(one, str):
                hills.set_(i, _kept(scene, one))
            elif one == 0:
                hills.set_(i, scene.weights)
        return hills


@dataclass(frozen=True, kw_only=True)
class Kernel(Repulsion):
    """``strength * sum_c exp(-d(w, w_c) / (2 width^2))``, d the squared distance (B 2.4, 2.9).

    At a checkpoint its gradient is exactly zero; it is largest, ``strength / width exp(-1/2)``, at the distance
    ``width``.

    Attributes:
        width: width of the kernel, or one per member; greater than 0.
    """

    width: PerMember = 1.0

    def __post_init__(self) -> None:
        """Check the width."""
        super().__post_init__()
        widths = torch.as_tensor(self.width)
        if not bool((widths.isfinite() & (widths > 0)).all()):
            raise ValueError(f"width must be finite and greater than 0, got {self.width}")

    def slope(self, scene: "Scene") -> "Gaussian":
        """Return a Gaussian of the distance; see :meth:`Repulsion.slope`."""
        strengths = self.strengths(scene)
        return Gaussian(
            strengths.double(), torch.as_tensor(self.width).to(strengths.device).double().expand_as(strengths)
        )


@dataclass(frozen=True)
class Slope:
    """A height that falls with the distance: ``-strength d``.

    Attributes:
        strength: float64 ``(members,)``.
    """

    strength: Tensor

    def height(self, apart: Tensor) -> Tensor:
        """Return the height at ``d``, ``(members,)``."""
        return -self.strength * apart


@dataclass(frozen=True)
class Gaussian(Slope):
    """``strength exp(-d / (2 width^2))``.

    Attributes:
        width: float64 ``(members,)``.
    """

    width: Tensor

    def height(self, apart: Tensor) -> Tensor:
        """Return the height at the squared distance ``d``, ``(members,)``."""
        return self.strength * torch.exp(-apart / (2 * self.width.square()))


class Hills(Term):
    """The term of :class:`Repulsion`: a hill at every checkpoint made so far."""

    def __init__(
        self, ruler: Ruler, slope: Slope, checkpoints: Sequence[int | str], merged: bool, weights: Mapping[str, Tensor]
    ) -> None:
        """Make room for the places of the checkpoints; none is made yet."""
        self._ruler, self._slope, self._merged = ruler, slope, merged
        self._epochs = [one if isinstance(one, int) else None for one in checkpoints]
        with torch.no_grad():
            like = ruler.place(weights)
        self._places = {
            n: torch.zeros(len(checkpoints), *p.shape, dtype=p.dtype, device=p.device) for n, p in like.items()
        }
        device = next(iter(like.values())).device
        self._made = torch.zeros(len(checkpoints), dtype=torch.float64, device=device)

    def set_(self, index: int, weights: Mapping[str, Tensor]) -> None:
        """Make a checkpoint of ``weights``, ``(members, own shape)``."""
        with torch.no_grad():
            for name, place in self._ruler.place(weights).items():
                self._places[name][index].copy_(place)
        self._made[index] = 1.0

    def begin_epoch(self, epoch: int, weights: Mapping[str, Tensor]) -> None:
        """Make the checkpoint of the epochs so far, if it is wanted; see :meth:`Term.begin_epoch`."""
        for i, done in enumerate(self._epochs):
            if done == epoch - 1:
                self.set_(i, weights)

    def tensors(self) -> dict[str, Tensor]:
        """Return the checkpoints; see :meth:`Term.tensors`."""
        return {"made": self._made, **{f"places/{name}": place for name, place in self._places.items()}}

    def value(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Add up the heights; see :meth:`Term.value`."""
        here = self._ruler.place(tensors)
        heights = [made * self._slope.height(self._ruler.apart(here, there)) for made, there in self._hills()]
        return torch.stack(heights).sum(0)

    def _hills(self) -> list[tuple[Tensor, Place]]:
        """Return for each hill whether it exists yet, 1 or 0, and its place."""
        if not self._merged or len(self._made) == 1:
            return [(made, {n: p[i] for n, p in self._places.items()}) for i, made in enumerate(self._made)]
        shares = self._made / self._made.sum().clamp(min=1)
        mean = {n: (per_entry(shares, p) * p).sum(0) for n, p in self._places.items()}
        return [(self._made.amax(), mean)]


def _kept(scene: "Scene", name: str) -> dict[str, Tensor]:
    """Return the kept weights that belong to the members, stacked.

    Raises:
        ValueError: they are of another network.
    """
    shapes = scene.network.graph.shapes
    each = [scene.kept(name, member) for member in scene.members]
    for one in each:
        for tensor in shapes:
            found = tuple(one[tensor].shape) if tensor in one else None
            if found != shapes[tensor]:
                raise ValueError(
                    f"checkpoint {name} is of another network: {tensor} has the shape {found}, not {shapes[tensor]}"
                )
    return {n: torch.stack([one[n].to(w) for one in each]) for n, w in scene.weights.items()}
