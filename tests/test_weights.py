"""Promise: what was trained can be taken out: kept weights are those that the recorded losses belong to."""

import math
from dataclasses import dataclass

import pytest
import torch
from torch import nn

import scaleinv
from scaleinv.networks.base import Architecture
from scaleinv.runs.build import build_cell
from scaleinv.runs.config import compose
from scaleinv.runs.errors import ConfigError, UserError
from scaleinv.runs.records import MissingError, load_records
from scaleinv.runs.run import run
from scaleinv.runs.weights import Keeper
from scaleinv.symmetry.graph import Edges, Graph
from scaleinv.symmetry.network import Network
from scaleinv.training.stack import Stack

BASE = ["progress=false", "threads=1", "network.hidden=[12,12]", "network.bias=true", "epochs=3", "seeds=2"]
GRID = [*BASE, "space=gspace", "space.value=[0.5,1.0]", "optimizer.lr=[0.01,0.05]"]


def trained(tmp_path, *overrides):
    config = compose([*GRID, f"results={tmp_path}", *overrides])
    run(config)
    return config, load_records(config.folder)


def losses(config, kept, count=8):
    """Validation losses of the plain modules that come out of a run, member by member."""
    data = build_cell(config).dataset
    images = data.normalise(data.val.images)
    models = [scaleinv.load_model(config.folder, member, kept) for member in range(count)]
    with torch.no_grad():
        return [torch.nn.functional.cross_entropy(model(images), data.val.labels).item() for model in models]


def test_a_loss_that_is_not_finite_is_never_the_best():
    keeper = Keeper("best", 1)
    keeper.see(0, {"w": torch.zeros(3)}, torch.tensor([float("inf"), float("nan"), 2.0]))
    assert torch.equal(keeper.tensors["best/val_loss"], torch.tensor([float("inf"), float("inf"), 2.0]).double())
    keeper.see(1, {"w": torch.ones(3)}, torch.tensor([1e300, 1.0, float("nan")], dtype=torch.float64))
    assert keeper.tensors["best/w"].tolist() == [1, 1, 0]


@pytest.mark.parametrize("chunk", [8, 3])
def test_kept_weights_have_the_recorded_losses(tmp_path, chunk):
    config, records = trained(tmp_path, "keep=[0,2]", f"chunk={chunk}")
    for epoch in (0, 2):
        wanted = records[records.epoch == epoch].sort_values(["seed", "value", "lr"])["val_loss"]
        assert losses(config, epoch) == pytest.approx(list(wanted), rel=1e-5)
    alone = scaleinv.load_model(config.folder, {"seed": 1, "value": 0.5, "lr": 0.05}, 2)
    torch.testing.assert_close(alone.state_dict(), scaleinv.load_model(config.folder, 5, 2).state_dict())


def test_best_is_each_members_best_epoch(tmp_path):
    config, records = trained(tmp_path, "keep=best", "optimizer.lr=[0.01,1e30]")
    best = records.groupby(["seed", "value", "lr"])["val_loss"].min()
    assert losses(config, "best") == pytest.approx(list(best), rel=1e-5)


def test_a_killed_run_keeps_the_same_weights(tmp_path, monkeypatch):
    config, _ = trained(tmp_path / "whole", "keep=best", "chunk=4")
    train_epoch, epochs = Stack.train_epoch, []

    def dying(self, epoch, after_step=None):
        epochs.append(epoch)
        if len(epochs) == 5:
            raise KeyboardInterrupt
        return train_epoch(self, epoch, after_step)

    killed = compose([*GRID, f"results={tmp_path / 'killed'}", "keep=best", "chunk=4", "checkpoint_seconds=0"])
    with monkeypatch.context() as patch:
        patch.setattr(Stack, "train_epoch", dying)
        with pytest.raises(KeyboardInterrupt):
            run(killed)
    run(killed)
    one, other = (c.folder.joinpath("weights.safetensors").read_bytes() for c in (config, killed))
    assert one == other
    assert not killed.folder.joinpath("weights").exists()


def test_keeping_changes_no_byte_of_the_metrics(tmp_path):
    kept, _ = trained(tmp_path / "kept", "keep=best")
    plain, _ = trained(tmp_path / "plain")
    assert kept.run_id == plain.run_id
    assert kept.folder.joinpath("metrics.csv").read_bytes() == plain.folder.joinpath("metrics.csv").read_bytes()
    assert not plain.folder.joinpath("weights.safetensors").exists()


def test_weights_that_were_not_kept_are_refused(tmp_path):
    config, _ = trained(tmp_path)
    with pytest.raises(MissingError, match="kept no weights"):
        scaleinv.load_model(config.folder)
    again = compose([*GRID, f"results={tmp_path}", "keep=last"])
    with pytest.raises(UserError, match="rerun=true"):
        run(again)
    run(compose([*GRID, f"results={tmp_path}", "keep=last", "rerun=true"]))
    assert run(again).startswith("done before")
    with pytest.raises(MissingError, match="kept last, not best"):
        scaleinv.load_model(config.folder, 0, "best")
    with pytest.raises(ConfigError, match="no member 8"):
        scaleinv.load_model(config.folder, 8)
    with pytest.raises(ConfigError, match="4 members are"):
        scaleinv.load_model(config.folder, {"lr": 0.05})
    with pytest.raises(MissingError, match="no finished run"):
        scaleinv.load_model(tmp_path)


def test_members_are_found_by_any_axis_also_where_the_space_overwrites_nothing(tmp_path):
    overrides = ["space=gspace_keep", "start=rescaled", "start.sigma=[0.0,1.0]", "epochs=0", "keep=last", "seeds=1"]
    config = compose([*BASE, *overrides, f"results={tmp_path}"])
    run(config)
    plain, rescaled = (scaleinv.load_model(config.folder, {"start.sigma": sigma}) for sigma in (0.0, 1.0))
    x = torch.randn(5, 64)
    assert not torch.equal(plain.state_dict()["0.weight"], rescaled.state_dict()["0.weight"])
    torch.testing.assert_close(rescaled(x), plain(x), rtol=1e-3, atol=1e-4)
    with pytest.raises(ConfigError, match="2 members are"):
        scaleinv.load_model(config.folder, {"seed": 0})


@dataclass(frozen=True)
class Normed(Architecture):
    """One hidden layer with batch norm, described as a network without symmetry."""

    width: int = 6

    def network(self, inputs, outputs):
        features = math.prod(inputs)

        def make():
            return nn.Sequential(
                nn.Linear(features, self.width), nn.BatchNorm1d(self.width), nn.ReLU(), nn.Linear(self.width, outputs)
            )

        shapes = {name: tuple(p.shape) for name, p in make().named_parameters()}
        anchored = {name: Edges(*[torch.zeros([1] * len(s), dtype=torch.long)] * 2) for name, s in shapes.items()}
        return Network(make, Graph(shapes, anchored, ()), (features,), outputs)


def test_running_statistics_are_kept_with_the_weights(tmp_path):
    overrides = ["network.name=test_weights:Normed", "~network.hidden", "~network.bias", "~network.negative_slope"]
    config = compose([*overrides, f"results={tmp_path}", "epochs=1", "seeds=2", "keep=last", "progress=false"])
    run(config)
    records = load_records(config.folder)
    wanted = records[records.epoch == 1].sort_values("seed")["val_loss"]
    assert losses(config, "last", 2) == pytest.approx(list(wanted), rel=1e-5)
    means = [scaleinv.load_model(config.folder, member)[1].running_mean for member in (0, 1)]
    assert not torch.equal(*means)
