"""Promise: the entropy of activation patterns has the correct derivative, and grows when it is followed."""

import pytest
import torch

from scaleinv.penalties.pattern_entropy import pattern_entropy, slopes
from scaleinv.runs.config import compose
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.records import load_records
from scaleinv.runs.run import run


def test_the_derivative_by_the_counts_includes_their_sum():
    counts = torch.tensor([50, 30, 15, 5])
    torch.testing.assert_close(
        slopes(counts), torch.tensor([-0.0045, 0.0006, 0.0075, 0.0185], dtype=torch.float64), atol=5e-5, rtol=0
    )
    leaf = counts.double().requires_grad_()
    p = leaf / leaf.sum()
    (wanted,) = torch.autograd.grad(-(p * p.log()).sum(), leaf)
    torch.testing.assert_close(slopes(counts), wanted)
    assert float((counts * slopes(counts)).sum()) == pytest.approx(0, abs=1e-12)
    assert slopes(torch.tensor([7, 7, 7])).abs().max() < 1e-15


def cloud():
    """Of 40 points, 30 share a pattern."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.tensor([[1.0, 1.0]] * 30 + [[-1.0, 0.5]] * 10, dtype=torch.float64)
    return centres + 0.3 * torch.randn(40, 2, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("linear", [False, True])
def test_frequent_patterns_are_pulled_to_their_boundaries(linear):
    z = cloud().requires_grad_()
    entropy = pattern_entropy(z, linear)
    _, counts = torch.unique(z > 0, dim=0, return_counts=True)
    p = counts.double() / 40
    torch.testing.assert_close(entropy, -(p * p.log()).sum())
    (g,) = torch.autograd.grad(entropy, z)
    way = (g * z).sum(1)
    common = (z > 0).all(1)
    assert (way[common] < 0).all()
    assert (way[~common] > 0).all()
    if linear:
        assert ((g != 0).sum(1) == 1).all()
        assert torch.equal((g != 0).int().argmax(1), z.abs().argmin(1))


def test_following_it_raises_the_entropy():
    """A hyperplane that cuts off nothing moves until it halves a cloud."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(300, 2, generator=generator, dtype=torch.float64) + 2
    w = torch.tensor([[1.0, 0.2], [0.3, 1.0]], dtype=torch.float64, requires_grad=True)
    b = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    first = pattern_entropy(x @ w + b)
    for _ in range(200):
        grads = torch.autograd.grad(pattern_entropy(x @ w + b), [w, b])
        with torch.no_grad():
            for p, g in zip((w, b), grads, strict=True):
                p += 0.1 * g
    last = pattern_entropy(x @ w + b)
    assert last > first + 0.5


def test_as_a_penalty(tmp_path):
    base = ["network.hidden=[6,6]", "batch_size=300", "progress=false", f"results={tmp_path}", "epochs=2"]
    config = compose([*base, "penalties=[{name: pattern_entropy, strength: [0.0, 0.0001, 0.1], images: 300}]"])
    run(config)
    records = load_records(config.folder).query("epoch == 2").set_index("penalties.pattern_entropy.strength")
    assert records.loc[0.0, "pattern_entropy_penalty"] == 0
    weak, strong = (-records.loc[s, "pattern_entropy_penalty"] / s for s in (0.0001, 0.1))
    assert strong > weak + 0.1
    assert records.loc[0.0, "val_loss"] != records.loc[0.1, "val_loss"]
    with pytest.raises(ConfigError, match="surrogate must be one of quadratic, linear"):
        compose(["penalties=[{name: pattern_entropy, surrogate: cubic}]"])
