"""Starts: what happens to freshly drawn weights before a space is laid over them."""

from scaleinv.starts.default import DefaultStart
from scaleinv.starts.overwritten import OverwrittenStart
from scaleinv.starts.reparametrized import ReparametrizedStart
from scaleinv.starts.rescaled import RescaledStart

__all__ = ["DefaultStart", "OverwrittenStart", "ReparametrizedStart", "RescaledStart"]
