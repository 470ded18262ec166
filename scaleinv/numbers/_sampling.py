"""Progressive stochastic binarization: ``w = s 2^e (1 + p)``, p by coin tosses (P 4.2.1, eq. 4.4 to 4.10)."""

import torch
from torch import Tensor

# Up to so many samples, comparing uniform numbers is faster than drawing binomial ones.
_FEW = 8


def encode(w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return sign, exponent and probability, ``w = sign 2^exponent (1 + p)``, p in [0, 1); exact (frexp).

    Zero has the sign 0 and the probability 0.
    """
    mantissa, exponent = w.abs().frexp()
    return w.sign(), exponent - 1, (2 * mantissa - 1).clamp(min=0)


def decode(sign: Tensor, exponent: Tensor, p: Tensor) -> Tensor:
    """Return ``sign 2^exponent (1 + p)``."""
    return torch.ldexp(sign * (1 + p), exponent)


def variance(w: Tensor) -> Tensor:
    """Return the variance of one sample, ``4^e p (1 - p)``; that of the mean of n is 1 / n of it."""
    _, exponent, p = encode(w)
    return torch.ldexp(p * (1 - p), 2 * exponent)


def on_grid(p: Tensor, bits: int) -> Tensor:
    """Return probabilities on a grid of ``2^bits`` values from 0 to 1, ``floor(2^bits p) / (2^bits - 1)``."""
    return (p * 2**bits).floor() / (2**bits - 1)


def sample(w: Tensor, samples: int, generator: torch.Generator, bits: int = 0) -> Tensor:
    """Return the mean of ``samples`` independent readings of every weight.

    Args:
        w: weights of any shape.
        samples: number n of coin tosses per weight; the mean is ``sign 2^exponent (1 + Bin(n, p) / n)``.
        generator: source of randomness, on the device of the weights.
        bits: bits of the probabilities; 0 for all.
    """
    sign, exponent, p = encode(w)
    if bits:
        p = on_grid(p, bits)
    if samples <= _FEW:
        tosses = [torch.rand(p.shape, generator=generator, dtype=p.dtype, device=p.device) < p for _ in range(samples)]
        heads = torch.stack(tosses).sum(0, dtype=p.dtype)
    else:
        heads = torch.binomial(torch.full_like(p, samples), p, generator=generator)
    return decode(sign, exponent, heads / samples)


def fixed_point(x: Tensor, bits: int = 16, limit: float = 32.0) -> Tensor:
    """Round to a grid of ``2^bits`` values on [-limit, limit]; the gradient is that of the identity.

    ``floor(2^bits clip((x + limit) / (2 limit), 0, 1)) / (2^bits - 1) 2 limit - limit``.
    """
    share = ((x.detach() + limit) / (2 * limit)).clamp(0, 1)
    rounded = (share * 2**bits).floor() / (2**bits - 1) * (2 * limit) - limit
    return x + (rounded - x.detach())
