"""Models of the share D of patterns that a step changes, as a function of its learning rate (P 3.2.2). No torch.

Learning rates are positive, logarithms natural. ``log``, ``erf`` and ``atan`` are P's; ``exp`` and ``weibull`` are the
baselines that it lacks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.optimize import least_squares
from scipy.special import erf, erfinv

Array = np.ndarray


@dataclass(frozen=True)
class Transition:
    """A model ``D(eta)``.

    Attributes:
        name: name of the model.
        parameters: names of its parameters.
        forward: ``(eta, *parameters) -> D``.
        inverse: ``(D, *parameters) -> eta``, the inverse for D between 0 and the model's limit, beyond which it is
            infinite.
        is_log: whether a parameter is positive and fitted by its logarithm, one per parameter.
        starts: values from which fits begin, one sequence per parameter.
    """

    name: str
    parameters: tuple[str, ...]
    forward: Callable[..., Array]
    inverse: Callable[..., Array]
    is_log: tuple[bool, ...]
    starts: tuple[Sequence[float], ...]

    def fit(self, etas: Array, shares: Array, begin: Sequence[float] | None = None) -> "Fit":
        """Fit by least squares on D, from several starts, the best of which are followed.

        Args:
            etas: learning rates, ``(n,)``.
            shares: D at each of them, ``(n,)``.
            begin: parameters to begin at, in place of the starts.

        Raises:
            ValueError: an eta is not positive, or a share is not between 0 and 1.
        """
        etas, shares = np.asarray(etas, dtype=float), np.asarray(shares, dtype=float)
        if not (etas > 0).all() or not ((shares >= 0) & (shares <= 1)).all():
            raise ValueError("a transition is fitted to positive learning rates and shares between 0 and 1")

        def residuals(free: Array) -> Array:
            return self.forward(etas, *self._plain(free)) - shares

        grid = [self._free(begin)] if begin is not None else [self._free(one) for one in product(*self.starts)]
        best = sorted(grid, key=lambda free: float(np.square(residuals(free)).sum()))[:3]
        solved = min((least_squares(residuals, free) for free in best), key=lambda solution: solution.cost)
        off = residuals(solved.x)
        squares = float(np.square(off).sum())
        return Fit(
            dict(zip(self.parameters, map(float, self._plain(solved.x)), strict=True)),
            float(np.sqrt(squares / len(off))),
            float(np.abs(off).max()),
            float(len(off) * np.log(max(squares, 1e-300) / len(off)) + 2 * len(self.parameters)),
        )

    def bootstrap(
        self, etas: Array, by_image: Array, resamples: int = 200, level: float = 0.95, seed: int = 0
    ) -> dict[str, tuple[float, float]]:
        """Return percentile intervals of the parameters, over resampled images.

        Args:
            etas: learning rates, ``(n,)``.
            by_image: share of an image's samples whose pattern changes, ``(n, images)``; images are independent,
                positions of one image are not.
            resamples: number of resamples.
            level: coverage of the intervals.
            seed: seed of the resamples.

        Returns:
            Lower and upper end by parameter.
        """
        whole = list(self.fit(etas, by_image.mean(1)).parameters.values())
        generator = np.random.default_rng(seed)
        draws = []
        for _ in range(resamples):
            images = generator.integers(by_image.shape[1], size=by_image.shape[1])
            draws.append(list(self.fit(etas, by_image[:, images].mean(1), whole).parameters.values()))
        tail = 50 * (1 - level)
        low, high = np.percentile(np.array(draws), [tail, 100 - tail], axis=0)
        return {name: (float(a), float(b)) for name, a, b in zip(self.parameters, low, high, strict=True)}

    def _free(self, plain: Sequence[float]) -> Array:
        return np.array([np.log(value) if log else value for value, log in zip(plain, self.is_log, strict=True)])

    def _plain(self, free: Array) -> list[float]:
        limited = np.clip(free, -700, 700)
        return [np.exp(value) if log else value for value, log in zip(limited, self.is_log, strict=True)]


@dataclass(frozen=True)
class Fit:
    """A fitted transition.

    Attributes:
        parameters: values by name.
        rmse: root of the mean squared difference of D.
        max_error: largest difference of D.
        aic: ``n log(mean square) + 2 k``, which compares models with different numbers k of parameters.
    """

    parameters: dict[str, float]
    rmse: float
    max_error: float
    aic: float


def _log(eta: Array, mu: float, sigma: float) -> Array:
    return (1 + erf((np.log(eta) - mu) / (sigma * np.sqrt(2)))) / 2


def _log_inverse(share: Array, mu: float, sigma: float) -> Array:
    return np.exp(mu + sigma * np.sqrt(2) * erfinv(2 * np.asarray(share) - 1))


def _erf(eta: Array, s: float, n: float) -> Array:
    return -np.expm1(n * np.log1p(-erf(s * np.asarray(eta) / np.sqrt(2)) / 2))


def _erf_inverse(share: Array, s: float, n: float) -> Array:
    return erfinv(_reached(-2 * np.expm1(np.log1p(-np.asarray(share)) / n))) * np.sqrt(2) / s


def _atan(eta: Array, s: float, n: float) -> Array:
    return -np.expm1(n * np.log1p(-np.arctan(s * np.asarray(eta)) / np.pi))


def _atan_inverse(share: Array, s: float, n: float) -> Array:
    reached = _reached(-2 * np.expm1(np.log1p(-np.asarray(share)) / n))
    return np.where(reached < 1, np.tan(np.minimum(reached, 1 - 1e-16) * np.pi / 2), np.inf) / s


def _reached(part: Array) -> Array:
    """Clip what a single node can contribute to its limit, where the learning rate is infinite."""
    return np.minimum(part, 1.0)


def _exp(eta: Array, kappa: float) -> Array:
    return -np.expm1(-kappa * np.asarray(eta))


def _exp_inverse(share: Array, kappa: float) -> Array:
    return -np.log1p(-np.asarray(share)) / kappa


def _weibull(eta: Array, kappa: float, beta: float) -> Array:
    return -np.expm1(-((kappa * np.asarray(eta)) ** beta))


def _weibull_inverse(share: Array, kappa: float, beta: float) -> Array:
    return (-np.log1p(-np.asarray(share))) ** (1 / beta) / kappa


_RATES = [float(np.exp(power)) for power in range(-6, 9, 2)]
_NODES = [float(np.exp(power)) for power in range(0, 7, 2)]
MODELS: Mapping[str, Transition] = {
    model.name: model
    for model in (
        Transition("log", ("mu", "sigma"), _log, _log_inverse, (False, True), (range(-8, 3), (0.4, 1.0, 2.0))),
        Transition("erf", ("s", "n"), _erf, _erf_inverse, (True, True), (_RATES, _NODES)),
        Transition("atan", ("s", "n"), _atan, _atan_inverse, (True, True), (_RATES, _NODES)),
        Transition("exp", ("kappa",), _exp, _exp_inverse, (True,), (_RATES,)),
        Transition("weibull", ("kappa", "beta"), _weibull, _weibull_inverse, (True, True), (_RATES, (0.5, 1.0, 2.0))),
    )
}
