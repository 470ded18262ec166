"""Measures of pattern counts (P 3.1.2, corrected); all are float64 or int64, ``(members,)``.

With c the counts of the patterns, N their sum and p = c / N. All are the same for every rescaling of a network.
"""

import math

import torch
from torch import Tensor

from scaleinv.patterns.histogram import Histogram, Overlap


def total(now: Histogram) -> Tensor:
    """Count the distinct patterns (P, eq. 3.5)."""
    return now.total


def max_frequency(now: Histogram) -> Tensor:
    """Return the share of the most frequent pattern, ``max p`` (P, eq. 3.8)."""
    return now.counts.amax(-1).double() / now.samples


def entropy(now: Histogram) -> Tensor:
    """Compute ``-sum p log2 p`` in bits (P, eq. 3.9, which divides by ``2^d`` instead of N)."""
    p = now.counts.double() / now.samples[..., None]
    return -torch.xlogy(p, p).sum(-1).div(math.log(2)) + 0.0


def relative_entropy(now: Histogram, channels: int) -> Tensor:
    """Divide the entropy by its bound, ``min(d, log2 N)`` (P, eq. 3.10); 0 for a single sample."""
    bound = now.samples.double().log2().clamp(max=channels)
    return torch.where(bound > 0, entropy(now) / bound, 0.0)


def net_change(now: Histogram, before: Histogram) -> Tensor:
    """Compute ``(total now - total before) / total now``: new minus lost (P, eq. 3.6, with the sign turned)."""
    return (now.total - before.total).double() / now.total


def jaccard(now: Histogram, other: Histogram) -> tuple[Tensor, Tensor]:
    """Compute the Jaccard index of the sets of patterns, and the weighted one of their counts.

    The first is ``|S and S'| / |S or S'|``, 1 minus the turnover; the second ``sum min(c, c') / sum max(c, c')``
    (P, eq. 3.7), which is ``(1 - TV) / (1 + TV)`` with the total variation TV.

    Raises:
        ValueError: the numbers of samples differ; equal distributions would then not give 1.
    """
    if not torch.equal(now.samples, other.samples):
        raise ValueError("weighted Jaccard needs equally many samples on both sides")
    both = Overlap.of(now, other)
    plain = both.patterns.double() / (now.total + other.total - both.patterns)
    return plain, both.samples.double() / (now.samples + other.samples - both.samples)
