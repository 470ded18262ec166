"""Models whose weights are read by coin tosses, without training anything again (P 4.2.1)."""

from copy import copy, deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from scaleinv.gauges import fold_batch_norm
from scaleinv.numbers._sampling import encode, fixed_point, on_grid, sample, variance
from scaleinv.symmetry.program import Operation, Program

SHARED, INDEPENDENT = NOISES = ("shared", "independent")
# Operations that multiply by weights -> position of the bias among their arguments.
PRODUCTS = {"linear": 2, "conv1d": 2, "conv2d": 2, "conv3d": 2}


def binarize(
    model: nn.Module,
    example: Tensor,
    samples: int = 16,
    bits: int = 0,
    noise: str = SHARED,
    fold: bool = True,
    activation_bits: int = 16,
    seed: int = 0,
) -> "Binarized":
    """Replace every weight of matrices, kernels and unfolded batch norms by the mean of ``samples`` coin tosses.

    Args:
        model: a trained model that ``torch.export`` traces; it is not changed.
        example: a batch of inputs.
        samples: coin tosses per weight and forward pass, from 1.
        bits: bits of the probabilities, 0 for all.
        noise: ``shared`` draws every weight once per forward pass, as simulated; ``independent`` draws it for every
            product, as hardware would, by a normal distribution of the same mean and variance.
        fold: whether batch norms are folded into the layer before them; else their scales are tossed for as well.
        activation_bits: bits of the fixed-point grid on [-32, 32] of biases and of what layers return; 0 for floats.
        seed: seed of the draws, which go on from one forward pass to the next.

    Returns:
        A module that computes other outputs at every call.

    Raises:
        ValueError: an option is out of range, or a batch norm was never trained.
        UnsupportedNetworkError: the model cannot be traced.
    """
    return Binarized(model, example, samples, bits, noise, fold, activation_bits, seed)


class Binarized(nn.Module):
    """See :func:`binarize`.

    Attributes:
        samples: coin tosses per weight and forward pass.
        program: operations of the model, folded or not.
        tensors: its parameters and buffers, by name.
    """

    def __init__(
        self,
        model: nn.Module,
        example: Tensor,
        samples: int,
        bits: int,
        noise: str,
        fold: bool,
        activation_bits: int,
        seed: int,
    ) -> None:
        """Fold and trace."""
        super().__init__()
        for name, value, least in (("samples", samples, 1), ("bits", bits, 0), ("activation_bits", activation_bits, 0)):
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name} must be a whole number from {least}, got {value!r}")
        if noise not in NOISES:
            raise ValueError(f"noise must be one of {', '.join(NOISES)}, got {noise!r}")
        require_trained(model)
        plain = deepcopy(model).eval()
        if fold and any(isinstance(part, _BatchNorm) for part in plain.modules()):
            plain = fold_batch_norm(plain, example)
        self.samples, self.bits, self.noise, self.activation_bits = samples, bits, noise, activation_bits
        self.program = Program.trace(plain, example)
        self.tensors = {name: t.detach() for name, t in plain.state_dict().items()}
        self.generator = torch.Generator(example.device).manual_seed(seed)

    def of(self, model: nn.Module, seed: int = 0) -> "Binarized":
        """Return the same for another model of the same operations, folded if this one is, without a trace."""
        other = copy(self)
        other.tensors = {name: t.detach() for name, t in model.state_dict().items()}
        other.generator = torch.Generator(self.generator.device).manual_seed(seed)
        return other

    def forward(self, images: Tensor) -> Tensor:
        """Draw the weights and compute the outputs."""
        with torch.no_grad():
            return self.program.run(self.read(), images, self.operation)

    def read(self) -> dict[str, Tensor]:
        """Return the tensors with freshly drawn matrices and kernels; as they are where noise is independent."""
        if self.noise == INDEPENDENT:
            return dict(self.tensors)
        return {name: self._tossed(t) if t.dim() > 1 else t for name, t in self.tensors.items()}

    def operation(self, at: Operation, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Compute one operation of the program, in fixed point, with its share of the noise."""
        if at.short in PRODUCTS:
            return self._rounded(self._product(at, list(args), kwargs))
        if at.short == "batch_norm":
            x, gamma, beta, mean, var = args[:5]
            return self._rounded(self._normalised(x, gamma, beta, mean, var, args[7]))
        return at.target(*args, **kwargs)

    def _product(self, at: Operation, args: list, kwargs: dict[str, Any]) -> Tensor:
        place = PRODUCTS[at.short]
        if len(args) > place and args[place] is not None:
            args[place] = self._rounded(args[place])
        if self.noise == SHARED:
            return at.target(*args, **kwargs)
        x, w = args[:2]
        quiet = w if not self.bits else _gridded(w, self.bits)
        y = at.target(x, quiet, *args[2:], **kwargs)
        no_bias = [None if i == place else a for i, a in enumerate(args)]
        no_bias[:2] = x.square(), variance(quiet) / self.samples
        spread = at.target(*no_bias, **kwargs).clamp(min=0).sqrt()
        return y + spread * torch.randn(y.shape, generator=self.generator, dtype=y.dtype, device=y.device)

    def _normalised(self, x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor, eps: float) -> Tensor:
        scale = (var + eps).rsqrt() * (1 if gamma is None else gamma)
        shift = self._rounded((0 if beta is None else beta) - mean * scale)
        if self.noise == SHARED:
            return x * _channels(self._tossed(scale), x) + _channels(shift, x)
        spread = x.abs() * _channels((variance(scale) / self.samples).sqrt(), x)
        tossed = torch.randn(x.shape, generator=self.generator, dtype=x.dtype, device=x.device)
        return x * _channels(scale, x) + spread * tossed + _channels(shift, x)

    def _tossed(self, w: Tensor) -> Tensor:
        return sample(w, self.samples, self.generator, self.bits)

    def _rounded(self, x: Tensor) -> Tensor:
        return fixed_point(x, self.activation_bits) if self.activation_bits else x


def prune(model: nn.Module, share: float) -> nn.Module:
    """Set the smallest magnitudes of every matrix and kernel to zero; they stay zero when binarized.

    Args:
        model: any model; a copy is changed.
        share: share of the entries of each tensor, between 0 and 1.

    Raises:
        ValueError: the share is out of range.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be between 0 and 1, got {share}")
    pruned = deepcopy(model)
    with torch.no_grad():
        for w in pruned.parameters():
            if w.dim() > 1 and (count := round(share * w.numel())):
                smallest = w.abs().flatten().topk(count, largest=False).indices
                w.view(-1)[smallest] = 0
    return pruned


def require_trained(model: nn.Module) -> None:
    """Refuse batch norms whose running statistics are those of a fresh model.

    Raises:
        ValueError: naming the module.
    """
    for name, part in model.named_modules():
        if isinstance(part, _BatchNorm) and part.num_batches_tracked is not None and part.num_batches_tracked == 0:
            raise ValueError(
                f"the batch norm {name} was never trained: its running statistics are those of a fresh model"
            )


def _gridded(w: Tensor, bits: int) -> Tensor:
    sign, exponent, p = encode(w)
    return torch.ldexp(sign * (1 + on_grid(p, bits)), exponent)


def _channels(values: Tensor, like: Tensor) -> Tensor:
    return values.view(1, -1, *[1] * (like.dim() - 2))
