"""Counts of activation patterns on fixed images, and how they move (P 3.1)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from scaleinv.patterns import measures
from scaleinv.patterns.bits import keys, mix, pack, require_numbers, thesis_hash
from scaleinv.patterns.histogram import Histogram, require_prime
from scaleinv.probes.base import Probe, Reading, Scene

GLOBAL = "global"
# Measures of the counts alone, and of their likeness to those of another look.
ALONE = ("total", "max_frequency", "entropy", "relative_entropy", "net_change")
LIKENESS = ("jaccard", "weighted_jaccard")
MEASURES = (*ALONE, *(f"{name}_{other}" for other in ("last", "start") for name in LIKENESS))


@dataclass(frozen=True, kw_only=True)
class Patterns(Probe):
    """Count the patterns of every activation layer, and of all layers together, exactly.

    A pattern of a convolutional layer is the vector of its channels at one position; the global pattern is that of an
    image. The columns hold the last look of each epoch, ``arrays.safetensors`` every look: ``patterns/steps``, and by
    measure ``patterns/<measure>`` with shape ``(members, looks, layers)``, the global pattern last.

    Attributes:
        images: number of images, the first of the training set.
        layers: activation layers to count, numbered from 1 in forward order; empty for all.
        table: 0 counts exactly; a prime counts in a table of so many bins, in which patterns collide, as the source
            does.
        end: whether to keep every look's patterns, to compare them with the last ones; 8 bytes per look and sample.
        nans: what becomes of a member with NaN inputs of activations: ``raise`` ends the run, ``empty`` leaves its
            numbers out.
    """

    images: int = 1000
    layers: list[int] = field(default_factory=list)
    table: int = 0
    end: bool = False
    nans: str = "raise"

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        if self.images < 1:
            raise ValueError(f"images must be at least 1, got {self.images}")
        if self.table:
            require_prime(self.table)
        if self.nans not in ("raise", "empty"):
            raise ValueError(f"nans must be raise or empty, got {self.nans}")

    def columns(self, scene: Scene) -> tuple[str, ...]:
        """Return one name per layer and measure; see :meth:`Probe.columns`."""
        names = [*chosen(self.layers, len(scene.evaluator.widths(scene.weights))), GLOBAL]
        return tuple(f"patterns_{layer}_{measure}" for layer in names for measure in MEASURES)

    def attach(self, scene: Scene) -> "PatternsReading":
        """Begin at the starting weights; see :meth:`Probe.attach`."""
        if self.images > len(scene.data.train):
            raise ValueError(f"patterns of {self.images} images need as many, there are {len(scene.data.train)}")
        return PatternsReading(self, scene)


def chosen(layers: list[int], count: int) -> list[int]:
    """Return the numbers of the chosen layers.

    Raises:
        ValueError: there is no such layer.
    """
    for layer in layers:
        if not 1 <= layer <= count:
            raise ValueError(f"there is no activation layer {layer}: they are numbered from 1 to {count}")
    return layers or list(range(1, count + 1))


class PatternsReading(Reading):
    """See :class:`Patterns`."""

    def __init__(self, probe: Patterns, scene: Scene) -> None:
        """Make room for all looks; with ``every`` above 0, begin with a look at the start."""
        self._probe, self._scene = probe, scene
        self._widths = scene.evaluator.widths(scene.weights)
        self._layers = chosen(probe.layers, len(self._widths))
        members, like = len(scene.members), next(iter(scene.weights.values()))
        looks = 1 + (scene.epochs * scene.steps_per_epoch // probe.every if probe.every else scene.epochs)
        # Channels, and samples, of every row of the results: the chosen layers, then the global pattern.
        self._channels = [self._widths[layer - 1][0] for layer in self._layers]
        self._channels.append(sum(channels * positions for channels, positions in self._widths))
        samples = [probe.images * self._widths[layer - 1][1] for layer in self._layers] + [probe.images]
        self._looks = torch.zeros((), dtype=torch.int64, device=like.device)
        self._start = [self._looks.new_zeros(members, n) for n in samples]
        self._last = [self._looks.new_zeros(members, n) for n in samples]
        self._all = [self._looks.new_zeros(looks if probe.end else 0, members, n) for n in samples]
        shape = (len(MEASURES), members, looks, len(samples))
        self._series = torch.full(shape, torch.nan, dtype=torch.float64, device=like.device)
        # Number of the coming look, and the counts of the last one and of the start, row by row.
        self._before: tuple[int, list[tuple[Histogram, Histogram]]] = (-1, [])
        if probe.every:
            self.look()

    @cached_property
    def _hash(self) -> Callable[[Tensor], Tensor]:
        return thesis_hash if self._probe.table else keys

    def look(self) -> None:
        """Count the patterns at the present weights; see :meth:`Reading.look`."""
        look = int(self._looks)
        if look >= self._series.shape[2]:
            raise ValueError("training is longer than the cell's epochs, for which the probe made room")
        keys_now, is_bad = self._keys(look)
        now = [self._count(key) for key in keys_now]
        if look == 0:
            self._keep(self._start, keys_now)
            self._before = (0, [(counts, counts) for counts in now])
        if self._before[0] != look:  # after a resume
            pairs = zip(self._last, self._start, strict=True)
            self._before = (look, [(self._count(last), self._count(start)) for last, start in pairs])
        for row, (counts, (last, start)) in enumerate(zip(now, self._before[1], strict=True)):
            numbers = (
                *(counts.total, measures.max_frequency(counts), measures.entropy(counts)),
                *(measures.relative_entropy(counts, self._channels[row]), measures.net_change(counts, last)),
                *(*measures.jaccard(counts, last), *measures.jaccard(counts, start)),
            )
            values = torch.stack([number.double() for number in numbers])
            self._series[:, :, look, row] = values.masked_fill(is_bad, torch.nan)
        self._keep(self._last, keys_now)
        if self._probe.end:
            self._keep([every[look] for every in self._all], keys_now)
        self._before = (look + 1, [(counts, start) for counts, (_, start) in zip(now, self._before[1], strict=True)])
        self._looks += 1

    @staticmethod
    def _keep(memory: list[Tensor], rows: list[Tensor]) -> None:
        for own, row in zip(memory, rows, strict=True):
            own.copy_(row)

    def _count(self, key: Tensor) -> Histogram:
        counts = Histogram.of(key)
        return counts.binned(self._probe.table) if self._probe.table else counts

    def _keys(self, look: int) -> tuple[list[Tensor], Tensor]:
        """Return the keys of all samples, row by row, and which members have none."""
        scene = self._scene
        words: list[list[Tensor]] = [[] for _ in self._widths]
        is_bad = torch.zeros(len(scene.members), dtype=torch.bool, device=self._looks.device)
        for inputs in scene.evaluator.hidden(scene.weights, scene.data.train.part(slice(self._probe.images))):
            for number, z in enumerate(inputs, 1):
                if self._probe.nans == "empty":
                    is_bad |= z.flatten(1).sum(1).isnan()
                else:
                    self._require_numbers(z, number, look)
                words[number - 1].append(pack(z))
        by_layer = [self._hash(torch.cat(parts, 2)) for parts in words]
        whole = torch.zeros_like(self._last[-1])
        for key, (_, positions) in zip(by_layer, self._widths, strict=True):
            by_image = self._hash(key.unflatten(1, (-1, positions)).mT) if positions > 1 else key
            whole = mix(whole * 3 ^ by_image)
        return [*(by_layer[layer - 1] for layer in self._layers), whole], is_bad

    def _require_numbers(self, z: Tensor, number: int, look: int) -> None:
        try:
            require_numbers(z, number)
        except FloatingPointError as error:
            every = self._probe.every or self._scene.steps_per_epoch
            raise FloatingPointError(f"at step {look * every}: {error}") from None

    def read(self) -> dict[str, Tensor]:
        """Return the numbers of the last look; see :meth:`Reading.read`."""
        names = self._probe.columns(self._scene)
        last = self._series[:, :, int(self._looks) - 1].permute(2, 0, 1).flatten(0, 1).cpu()
        return dict(zip(names, last, strict=True))

    def tensors(self) -> dict[str, Tensor]:
        """Return the patterns of the start and the last look, and the results; see :meth:`Reading.tensors`."""
        state = {"looks": self._looks, "series": self._series}
        for row, (start, last, every) in enumerate(zip(self._start, self._last, self._all, strict=True)):
            state |= {f"start/{row}": start, f"last/{row}": last, f"all/{row}": every}
        return state

    def arrays(self) -> dict[str, Tensor]:
        """Return every look's numbers, ``(members, looks, layers)`` by measure; see :meth:`Reading.arrays`."""
        series = dict(zip(MEASURES, self._series, strict=True))
        if self._probe.end:
            likeness = torch.full((len(LIKENESS), *self._series.shape[1:]), torch.nan, dtype=torch.float64)
            for row, every in enumerate(self._all):
                counts = [self._count(key) for key in every[: int(self._looks)]]
                for look, now in enumerate(counts):
                    likeness[:, :, look, row] = torch.stack(measures.jaccard(now, counts[-1]))
            series |= {f"{name}_end": values for name, values in zip(LIKENESS, likeness, strict=True)}
        stride = self._probe.every or self._scene.steps_per_epoch
        steps = (torch.arange(self._series.shape[2]) * stride).expand(self._series.shape[1:3])
        return {f"patterns/{name}": values for name, values in series.items()} | {"patterns/steps": steps}
