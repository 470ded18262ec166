"""Other weights of the same function, for any model: rescaled, balanced, equalized, in a canonical order, compared.

All take a model and return a copy, unless ``inplace=True``; they keep the function, in evaluation and in training mode.
"""

from scaleinv.gauges.batch_norm import fold_batch_norm
from scaleinv.gauges.canonical import balance, canonicalize, equalize, unit_gauge
from scaleinv.gauges.equivalence import Equivalence, equivalent
from scaleinv.gauges.moves import permute, random_rescaling, rescale

__all__ = [
    "Equivalence",
    "balance",
    "canonicalize",
    "equalize",
    "equivalent",
    "fold_batch_norm",
    "permute",
    "random_rescaling",
    "rescale",
    "unit_gauge",
]
