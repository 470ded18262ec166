"""Counts of patterns: exact, by sorted keys, or in a table of bins in which keys may collide."""

from dataclasses import dataclass

import torch
from torch import Tensor

from scaleinv.patterns._operations import ascending, positions


@dataclass(frozen=True)
class Histogram:
    """Number of samples per pattern, for every member of a stack.

    Attributes:
        keys: one key per pattern, ascending, int64, ``(members, width)``; rows with fewer patterns repeat their last
            key.
        counts: samples of each pattern, int64, ``(members, width)``; 0 where a key is repeated.
    """

    keys: Tensor
    counts: Tensor

    @classmethod
    def of(cls, keys: Tensor) -> "Histogram":
        """Count the keys of samples, ``(members, samples)``."""
        return _counted(ascending(keys), torch.ones_like(keys))

    @property
    def total(self) -> Tensor:
        """Number of distinct patterns, ``(members,)`` (P, eq. 3.5)."""
        return (self.counts > 0).sum(-1)

    @property
    def samples(self) -> Tensor:
        """Number of samples, ``(members,)``."""
        return self.counts.sum(-1)

    def merge(self, other: "Histogram") -> "Histogram":
        """Add the counts of other samples."""
        keys, order = torch.cat([self.keys, other.keys], -1).sort(-1)
        return _counted(keys, torch.cat([self.counts, other.counts], -1).gather(-1, order))

    def binned(self, size: int) -> "Histogram":
        """Merge patterns with equal ``key mod size``: what a table of ``size`` bins would count.

        Raises:
            ValueError: ``size`` is no odd prime; in a table of a power of two most filters are invisible.
        """
        require_prime(size)
        keys, order = self.keys.remainder(size).sort(-1)
        return _counted(keys, self.counts.gather(-1, order))


@dataclass(frozen=True)
class Overlap:
    """What two histograms have in common, ``(members,)`` each.

    Attributes:
        patterns: number of patterns in both.
        samples: sum over patterns of the smaller of the two counts.
    """

    patterns: Tensor
    samples: Tensor

    @classmethod
    def of(cls, one: Histogram, other: Histogram) -> "Overlap":
        """Look the patterns of one histogram up in the other."""
        where = positions(other.keys, one.keys).clamp_(max=other.keys.shape[-1] - 1)
        is_same = other.keys.gather(-1, where) == one.keys
        shared = torch.minimum(one.counts, other.counts.gather(-1, where)) * is_same
        return cls((shared > 0).sum(-1), shared.sum(-1))


def require_prime(size: int) -> None:
    """Raise unless a number is an odd prime.

    Raises:
        ValueError: it is not.
    """
    if size < 3 or any(size % k == 0 for k in (2, *range(3, int(size**0.5) + 1, 2))):
        raise ValueError(f"table must have a prime number of bins from 3, got {size}")


def _counted(keys: Tensor, counts: Tensor) -> Histogram:
    """Add up the counts of equal neighbours."""
    is_new = torch.ones_like(keys)
    is_new[..., 1:] = keys[..., 1:] != keys[..., :-1]
    run = is_new.cumsum(-1) - 1
    width = int(run[..., -1].max()) + 1
    summed = counts.new_zeros(*keys.shape[:-1], width).scatter_add_(-1, run, counts)
    unique = keys[..., -1:].repeat(*[1] * (keys.dim() - 1), width).scatter_(-1, run, keys)
    return Histogram(unique, summed)
