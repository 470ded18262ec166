"""Computational attention: more samples where a first pass is unsure (P 4.2.5)."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate, linear, max_pool2d

from scaleinv.binarization.model import SHARED, Binarized
from scaleinv.minima.predictions import entropy
from scaleinv.symmetry.network import UnsupportedNetworkError
from scaleinv.symmetry.program import Operation

ENTROPY, MARGIN, RANDOM = MODES = ("entropy", "margin", "random")


@dataclass(frozen=True)
class Attention:
    """Outputs of two passes, and what they cost.

    Attributes:
        outputs: ``(images, classes)``.
        coverage: share of the positions of the last map that were computed with many samples.
        additions: gated additions per image: for each product, the samples of the first pass at all positions, and
            those of the second at the covered ones.
        share: additions over those of one pass with many samples everywhere.
    """

    outputs: Tensor
    coverage: float
    additions: float
    share: float


def attend(
    low: Binarized, high: Binarized, images: Tensor, mode: str = ENTROPY, coverage: float | None = None, seed: int = 0
) -> Attention:
    """Compute with few samples, then with many at the positions where the first pass is unsure.

    The classifier is applied to every position of the last map; positions whose entropy is above the image's mean are
    computed again, ``mask y_high + (1 - mask) y_low`` after every convolution, the mask resized to its output.

    Args:
        low: the model with few samples, shared noise.
        high: the same model with more.
        images: inputs.
        mode: ``entropy``; ``margin``, which also takes the 8 neighbours; ``random`` positions, as many per image as
            ``coverage`` says.
        coverage: share of the positions; None takes those above the mean (``entropy``, ``margin``). Where it is given,
            the most unsure ones are taken.
        seed: seed of random positions.

    Raises:
        ValueError: no such mode, coverage outside [0, 1], or random positions without a coverage.
        UnsupportedNetworkError: the model does not end in a global average and one linear layer.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    if coverage is not None and not 0 <= coverage <= 1:
        raise ValueError(f"coverage must be between 0 and 1, got {coverage}")
    if coverage is None and mode == RANDOM:
        raise ValueError("random positions need a coverage: give that of another mode")
    if low.noise != SHARED or high.noise != SHARED:
        raise ValueError("attention mixes two draws of the weights, so both models need shared noise")
    first = _FirstPass(low)
    with torch.no_grad():
        low.program.run(low.read(), images, first)
        mask = _mask(first.entropies(), mode, coverage, seed)
        second = _SecondPass(high, first.maps, mask)
        outputs = high.program.run(high.read(), images, second)
    everywhere = sum(second.products)
    cheap, dear = low.samples * sum(first.products), high.samples * sum(second.covered)
    return Attention(outputs, float(mask.mean()), cheap + dear, (cheap + dear) / (high.samples * everywhere))


class _FirstPass:
    """Keeps what convolutions return, and the map and the classifier at the end."""

    def __init__(self, model: Binarized) -> None:
        self.model = model
        self.maps: dict[str, Tensor] = {}
        self.products: list[float] = []
        self.last: Tensor | None = None
        self.classifier: tuple[Tensor, Tensor | None] | None = None

    def __call__(self, at: Operation, args: tuple, kwargs: dict[str, Any]) -> Any:
        before = args[0] if args and isinstance(args[0], Tensor) else None
        result = self.model.operation(at, args, kwargs)
        if at.short == "conv2d":
            self.maps[at.name] = result
            self.products.append(_products(args[1], result))
        elif at.short == "linear":
            self.products.append(float(args[1].numel()))
            self.classifier = (args[1], args[2] if len(args) > 2 else None) if self.classifier is None else None
            self.last = self.last if self.classifier else None
        elif before is not None and before.dim() == 4 and _is_average(at, result):
            self.last = before
        return result

    def entropies(self) -> Tensor:
        """Return the entropy of the classifier's prediction at every position, ``(images, 1, height, width)``."""
        if self.last is None or self.classifier is None or self.classifier[0].shape[1] != self.last.shape[1]:
            raise UnsupportedNetworkError(
                "attention needs a model of convolutions that ends in a global average and one linear layer"
            )
        logits = linear(self.last.movedim(1, -1), *self.classifier)
        return entropy(logits.softmax(-1))[:, None]


class _SecondPass:
    """Mixes what convolutions return with the first pass."""

    def __init__(self, model: Binarized, maps: dict[str, Tensor], mask: Tensor) -> None:
        self.model, self.maps, self.mask = model, maps, mask
        self.products: list[float] = []
        self.covered: list[float] = []

    def __call__(self, at: Operation, args: tuple, kwargs: dict[str, Any]) -> Any:
        result = self.model.operation(at, args, kwargs)
        if at.short == "conv2d":
            here = interpolate(self.mask, result.shape[-2:], mode="nearest")
            self.products.append(_products(args[1], result))
            self.covered.append(self.products[-1] * float(here.mean()))
            return torch.where(here > 0, result, self.maps[at.name])
        if at.short == "linear":
            self.products.append(float(args[1].numel()))
            self.covered.append(self.products[-1])
        return result


def _mask(entropies: Tensor, mode: str, coverage: float | None, seed: int) -> Tensor:
    """Return 1 at the positions to compute again, ``(images, 1, height, width)``."""
    if mode == RANDOM:
        generator = torch.Generator(entropies.device).manual_seed(seed)
        entropies = torch.rand(entropies.shape, generator=generator, dtype=entropies.dtype, device=entropies.device)
    if coverage is None:
        mask = (entropies > entropies.mean((-1, -2), keepdim=True)).to(entropies)
    else:
        flat = entropies.flatten(1)
        chosen = flat.topk(round(coverage * flat.shape[1]), dim=1).indices
        mask = torch.zeros_like(flat).scatter_(1, chosen, 1.0).view_as(entropies)
    return max_pool2d(mask, 3, 1, 1) if mode == MARGIN else mask


def _products(w: Tensor, result: Tensor) -> float:
    """Return the number of products per image of a convolution."""
    return float(w.numel() * result.shape[-1] * result.shape[-2])


def _is_average(at: Operation, result: Any) -> bool:
    """Whether an operation averages each channel of a map to one number."""
    return at.short in ("adaptive_avg_pool2d", "avg_pool2d", "mean") and result.flatten(2).shape[-1] <= 1
