"""Promise: a Laplace approximation in a chart does not notice a rescaling, one in weights does; it is the formula."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev

from scaleinv.runs.config import compose
from scaleinv.runs.errors import ConfigError, UserError
from scaleinv.runs.records import load_records
from scaleinv.runs.run import run
from scaleinv.runs.tasks import laplace
from scaleinv.spaces import CycleSpace
from scaleinv.wrappers import SpaceModule

pytest.importorskip("laplace", reason="laplace-torch is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")
BASE = ["task=laplace", "network.hidden=[4,4]", "optimizer.lr=0.1", "progress=false"]


def test_charts_do_not_notice_a_rescaling_and_weights_do(tmp_path):
    small = ["task.images=24", "task.structures=[full,diag,last]", "task.prior_precisions=[0.1,1,10]"]
    config = compose([*BASE, *small, "epochs=1", "seeds=1", f"results={tmp_path}"])
    run(config)
    records = load_records(config.folder)
    assert len(records) == 1 + 4 * 3 * 2
    rescaled = records[records["sigma"] > 0].set_index(["coordinates", "structure"])
    trained = records[(records["sigma"] == 0) & (records["structure"] != "none")].set_index(
        ["coordinates", "structure"]
    )
    assert (rescaled.loc["weights", "change"] > 1e-3).all()
    for chart in ("balanced weights", "cycle", "G-space"):
        assert (rescaled.loc[chart, "change"] < 1e-10).all()
        gap = rescaled.loc[chart, "log_evidence"] - trained.loc[chart, "log_evidence"]
        assert (gap.abs() < 1e-8).all()
    assert records[["nll", "ece", "auroc"]].notna().all(axis=None)


def test_a_posterior_is_that_of_the_formula():
    """``p = softmax(f / sqrt(1 + pi / 8 diag(J (H + tau)^-1 J^T)))``, with J by the free coordinates."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)).double()
    module = SpaceModule(model, CycleSpace("maxprod"))
    images, labels = torch.randn(12, 5, dtype=torch.float64), torch.randint(3, (12,))
    data = laplace.Splits(images, labels, images, labels, images)
    coords = {name: p.detach() for name, p in module.named_parameters()}
    parts = jacrev(lambda c: functional_call(module, c, images))(coords)
    J = torch.cat([parts[name].flatten(2) for name in coords], -1)
    p = module(images).detach().softmax(-1)
    H = torch.einsum("bcp,bck,bkq->pq", J, torch.diag_embed(p) - p[:, :, None] * p[:, None, :], J)
    H += 0.7 * torch.eye(len(H))
    variance = torch.einsum("bcp,pq,bcq->bc", J, H.inverse(), J)
    wanted = (module(images).detach() / (1 + torch.pi / 8 * variance).sqrt()).softmax(-1)
    torch.testing.assert_close(laplace.fit(module, "full", data, [0.7]).of(images), wanted)
    last = laplace.last_layer(module)
    assert last.tolist() == list(range(24, 24 + 15))


def test_auroc():
    inside, outside = torch.tensor([0.9, 0.5]), torch.tensor([0.5, 0.1, 0.7])
    assert laplace.auroc(inside, outside) == pytest.approx((3 + 1.5) / 6)


def test_without_the_library_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(laplace, "find_spec", lambda name: None)
    config = compose([*BASE, "epochs=1"])
    with pytest.raises(UserError, match="pip install laplace-torch"):
        config.task.prepare(config)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("task.structures=[kron]", "structures must list some of full, diag, last"),
        ("task.sigmas=[1.0]", "list 0, with which the others are compared"),
        ("task.coordinates=[{space: {name: weight}}]", "each with its label"),
        ("task.prior_precisions=[0]", "numbers above 0"),
    ],
)
def test_options_that_mean_nothing_are_refused(option, words):
    with pytest.raises(ConfigError, match=words):
        compose([*BASE, option])
