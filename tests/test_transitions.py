"""Promise: the models of the share of changed patterns are inverted, and fitted to what they predict."""

import numpy as np
import pytest

from scaleinv.patterns.transitions import MODELS

TRUE = {"log": (-2.0, 0.7), "erf": (0.5, 40.0), "atan": (0.3, 12.0), "exp": (30.0,), "weibull": (5.0, 0.8)}
ETAS = np.logspace(-4, 2, 50)


@pytest.mark.parametrize("name", MODELS)
def test_inverse_fit_and_bounds(name):
    model, true = MODELS[name], TRUE[name]
    shares = model.forward(ETAS, *true)
    assert ((shares >= 0) & (shares <= 1)).all()
    assert (np.diff(shares) >= 0).all()
    inside = np.array([0.02, 0.3, 0.5, 0.9, 0.99])
    np.testing.assert_allclose(model.forward(model.inverse(inside, *true), *true), inside, rtol=1e-9)
    fit = model.fit(ETAS, shares)
    np.testing.assert_allclose(list(fit.parameters.values()), true, rtol=1e-4)
    assert fit.rmse < 1e-6
    others = {other: MODELS[other].fit(ETAS, shares).aic for other in ("log", "atan", "exp")}
    assert fit.aic <= min(others.values()) + 1e-6
    with pytest.raises(ValueError, match="positive learning rates and shares between 0 and 1"):
        model.fit(ETAS, shares + 0.5)


def test_what_the_formulas_say():
    assert MODELS["log"].forward(np.exp(-2.0), -2.0, 0.7) == pytest.approx(0.5)
    for name in ("erf", "atan"):  # n nodes that flip with probability 1/2 at the most
        assert MODELS[name].forward(1e300, 1.0, 5.0) == pytest.approx(1 - 2.0**-5)
        assert MODELS[name].inverse(0.99, 1.0, 5.0) == np.inf
    assert MODELS["weibull"].forward(0.3, 2.0, 1.0) == MODELS["exp"].forward(0.3, 2.0)


def test_the_chance_of_a_flip_of_independent_gaussians():
    """Of P's theorem 1: c - eta g changes its sign with probability arctan(s eta) / pi."""
    generator = np.random.default_rng(0)
    c, g = generator.normal(size=(2, 20000, 32))
    for ratio in (0.05, 0.2):
        changed = (np.sign(c - ratio * g) != np.sign(c)).any(1).mean()
        assert MODELS["atan"].forward(ratio, 1.0, 32.0) == pytest.approx(changed, abs=0.01)


def test_intervals_over_images():
    """They cover the truth, and shrink with the root of the number of images."""
    generator = np.random.default_rng(1)
    widths: dict[int, list[float]] = {60: [], 960: []}
    covered = 0
    for images in [60, 960] * 4:
        thresholds = np.exp(-2 + 0.7 * generator.normal(size=images))
        by_image = (ETAS[:, None] > thresholds).astype(float)
        low, high = MODELS["log"].bootstrap(ETAS, by_image, 30)["mu"]
        covered += low < -2 < high
        widths[images].append(high - low)
    assert covered >= 5
    assert 2.5 < np.mean(widths[60]) / np.mean(widths[960]) < 6.5
