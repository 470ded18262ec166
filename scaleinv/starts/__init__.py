"""Starts: how freshly drawn weights are changed before a space makes its chart."""

from scaleinv.starts.balanced import BalancedStart
from scaleinv.starts.default import DefaultStart
from scaleinv.starts.overwritten import OverwrittenStart
from scaleinv.starts.pathcond import PathCondStart
from scaleinv.starts.reparametrized import ReparametrizedStart
from scaleinv.starts.rescaled import RescaledStart

__all__ = [
    "BalancedStart",
    "DefaultStart",
    "OverwrittenStart",
    "PathCondStart",
    "ReparametrizedStart",
    "RescaledStart",
]
