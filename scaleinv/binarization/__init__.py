"""Trained models with binarized weights: sampling, pruning, attention, and the gauge in which the noise is least."""

from scaleinv.binarization.attention import Attention, attend
from scaleinv.binarization.model import Binarized, binarize, prune
from scaleinv.binarization.quiet import Quiet, quiet_gauge

__all__ = ["Attention", "Binarized", "Quiet", "attend", "binarize", "prune", "quiet_gauge"]
