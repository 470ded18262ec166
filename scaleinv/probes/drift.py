"""How far a network has moved from a checkpoint: in weights, in two gauges, and in what it computes."""

from dataclasses import dataclass

import torch
from torch import Tensor

from scaleinv.minima import predictions
from scaleinv.minima.rulers import InBalancedGauge, InCycles, InFunctions, InWeights, Ruler
from scaleinv.probes.base import Probe, Reading, Scene
from scaleinv.symmetry.orbit import along_orbit

COLUMNS = ("weight_distance", "balanced_distance", "cycle_distance", "js_divergence", "disagreement", "cka")
ORBIT = ("orbit_share", "step_orbit_share")


@dataclass(frozen=True, kw_only=True)
class Drift(Probe):
    """Distances from the network after some epochs, in four rulers; NaN until then.

    ``orbit_share`` is the share of ``|w - w_c|^2`` that lies along the orbit of w_c; ``step_orbit_share`` the
    same for the single steps from look to look since the end of the last epoch, summed.

    Attributes:
        after: number of epochs after which the network becomes the checkpoint.
        images: number of validation images, the first ones, at which predictions are compared.
    """

    after: int = 0
    images: int = 1000

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        if self.after < 0 or self.images < 1:
            raise ValueError(f"after must be at least 0 and images at least 1, got {self.after} and {self.images}")

    def columns(self, scene: Scene) -> tuple[str, ...]:
        """Return the same names for every scene; see :meth:`Probe.columns`."""
        return (*COLUMNS, *ORBIT)

    def attach(self, scene: Scene) -> "DriftReading":
        """Begin at the starting weights; see :meth:`Probe.attach`."""
        scene.data.require_labels("the probe drift, which compares probabilities of classes,")
        return DriftReading(scene, self.after, self.images)


class DriftReading(Reading):
    """See :class:`Drift`."""

    def __init__(self, scene: Scene, after: int, images: int) -> None:
        """Make room for the checkpoint and for the weights at the last look."""
        graph = scene.network.graph
        some = scene.data.normalise(scene.data.val.images[:images])
        self._weights, self._graph, self._after = scene.weights, graph, after
        self._rulers: dict[str, Ruler] = {
            "weight": InWeights(),
            "balanced": InBalancedGauge(graph),
            "cycle": InCycles.at(graph, scene.weights),
            "function": InFunctions(scene.network, some, scene.statistics),
        }
        self._places = self._placed()
        self._last = {name: w.clone() for name, w in scene.weights.items()}
        like = next(iter(scene.weights.values()))
        self._along, self._whole = (torch.zeros(len(like), dtype=torch.float64, device=like.device) for _ in range(2))
        self._epoch = torch.full((), -1, dtype=torch.int64, device=like.device)

    def _placed(self) -> dict[str, dict[str, Tensor]]:
        with torch.no_grad():
            return {
                key: {name: p.clone() for name, p in ruler.place(self._weights).items()}
                for key, ruler in self._rulers.items()
            }

    def look(self) -> None:
        """Split the step since the last look; see :meth:`Reading.look`."""
        step = {name: w - self._last[name] for name, w in self._weights.items()}
        self._along += _squares(along_orbit(self._graph, self._last, step))
        self._whole += _squares(step)
        for name, w in self._weights.items():
            self._last[name].copy_(w)

    def read(self) -> dict[str, Tensor]:
        """Compare with the checkpoint; see :meth:`Reading.read`."""
        self._epoch += 1
        here = self._placed()
        if self._epoch == self._after:
            for key, place in here.items():
                for name, p in place.items():
                    self._places[key][name].copy_(p)
        apart = {key: ruler.apart(here[key], self._places[key]) for key, ruler in self._rulers.items()}
        now, then = (p["function"]["probabilities"] for p in (here, self._places))
        numbers = {f"{key}_distance": apart[key].sqrt() for key in ("weight", "balanced", "cycle")}
        numbers["js_divergence"] = apart["function"]
        numbers["disagreement"] = predictions.disagreement(now, then)
        numbers["cka"] = predictions.cka(now, then)
        way = {name: w - self._places["weight"][name] for name, w in here["weight"].items()}
        numbers["orbit_share"] = _squares(along_orbit(self._graph, self._places["weight"], way)) / _squares(way)
        numbers["step_orbit_share"] = self._along / self._whole
        if self._epoch < self._after:
            numbers = {name: torch.full_like(n, torch.nan) for name, n in numbers.items()}
        self._along.zero_()
        self._whole.zero_()
        return {name: n.cpu() for name, n in numbers.items()}

    def tensors(self) -> dict[str, Tensor]:
        """Return the checkpoint and the running numbers; see :meth:`Reading.tensors`."""
        kept = {f"{key}/{name}": p for key, place in self._places.items() for name, p in place.items()}
        last = {f"last/{name}": w for name, w in self._last.items()}
        return {"along": self._along, "whole": self._whole, "epoch": self._epoch, **kept, **last}


def _squares(tensors: dict[str, Tensor]) -> Tensor:
    return torch.stack([t.flatten(1).square().sum(1, dtype=torch.float64) for t in tensors.values()]).sum(0)
