"""Does the rescaling symmetry of ReLU networks matter for training?

``scaleinv-run`` trains whole learning-rate grids in weight space, G-space, fixed-weight space and the invariant
spaces, many networks at once, and writes one CSV. The library underneath: ``scaleinv.spaces``, ``scaleinv.optim``,
``scaleinv.symmetry``, ``scaleinv.wrappers`` for models of your own, ``scaleinv.runs.records`` for the results;
``scaleinv.load_model`` gives back what was trained.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("scaleinv")
except PackageNotFoundError:  # a checkout that is not installed
    __version__ = "0+unknown"


def __getattr__(name: str) -> object:
    """Import what needs torch only when it is asked for."""
    if name == "load_model":
        from scaleinv.runs.weights import load_model

        return load_model
    raise AttributeError(f"module 'scaleinv' has no attribute {name!r}")
