"""Does the rescaling symmetry of ReLU networks matter for training?

``scaleinv-run`` trains whole learning-rate grids in weight space, G-space, fixed-weight space and the invariant
spaces, many networks at once, and writes one CSV. The library underneath: ``scaleinv.spaces``, ``scaleinv.optim``,
``scaleinv.symmetry``, ``scaleinv.wrappers`` for models of your own, ``scaleinv.runs.records`` for the results;
``scaleinv.load_model`` gives back what was trained; ``scaleinv.distance``, ``average``, ``barrier``, ``disagreement``,
``js_divergence`` and ``cka`` compare several models; ``scaleinv.rescale``, ``random_rescaling``, ``balance``,
``unit_gauge``, ``equalize``, ``canonicalize``, ``permute`` and ``fold_batch_norm`` give other weights of the same
function, and ``equivalent`` says whether two models differ by no more; ``scaleinv.binarize``, ``prune``, ``attend`` and
``quiet_gauge`` are about models whose weights are read by coin tosses; ``scaleinv.model_path_norm`` is the path norm.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("scaleinv")
except PackageNotFoundError:  # a checkout that is not installed
    __version__ = "0+unknown"


# What needs torch is imported only when it is asked for: name -> module.
_ON_DEMAND = {
    "load_model": "scaleinv.runs.weights",
    "symmetry_report": "scaleinv.symmetry.report",
    "model_path_norm": "scaleinv.symmetry.path_norm",
    **dict.fromkeys(
        ("distance", "average", "barrier", "disagreement", "js_divergence", "cka"), "scaleinv.minima.models"
    ),
    **dict.fromkeys(
        ("balance", "canonicalize", "equalize", "equivalent", "fold_batch_norm", "permute", "random_rescaling"),
        "scaleinv.gauges",
    ),
    **dict.fromkeys(("rescale", "unit_gauge"), "scaleinv.gauges"),
    **dict.fromkeys(("binarize", "prune", "attend", "quiet_gauge"), "scaleinv.binarization"),
}


def __getattr__(name: str) -> object:
    """Import a function that needs torch."""
    if name in _ON_DEMAND:
        return getattr(import_module(_ON_DEMAND[name]), name)
    raise AttributeError(f"module 'scaleinv' has no attribute {name!r}")
