"""Promise: a probe's columns are what a look at the weights after every step would give, also after a resume."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import draw
from safetensors.torch import load_file

from scaleinv import load_model
from scaleinv.networks.mlp import mlp
from scaleinv.optim import SGD
from scaleinv.probes.base import Probe, Reading, Scene
from scaleinv.probes.roots import Roots
from scaleinv.runs.config import compose
from scaleinv.runs.datasets import load_dataset
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.records import load_records
from scaleinv.runs.run import run
from scaleinv.spaces import GSpace, WeightSpace
from scaleinv.training.cell import Cell
from scaleinv.training.stack import Stack


@pytest.mark.parametrize("skeleton", ["default", "maxprod"])
def test_roots_by_hand(skeleton):
    network = mlp((4, 3, 5, 2))
    chart = GSpace(skeleton, fix="keep").chart(network.graph, draw(network))
    weights = chart.start()
    scene = Scene(network, chart, None, (), weights, None)
    reading = Roots().attach(scene)
    where = []
    for pick, free in zip(chart.skeleton.into, chart.skeleton.is_root(network.graph), strict=True):
        where.append((pick, free.expand(3, -1)))

    def roots() -> list[torch.Tensor]:
        return [torch.cat([p.read(weights[p.name])[m][free[m]] for p, free in where]) for m in range(3)]

    seen = [roots()]
    generator = torch.Generator().manual_seed(0)
    for _ in range(6):
        for w in weights.values():
            w.mul_(torch.randn(w.shape, generator=generator, dtype=w.dtype))
        reading.look()
        seen.append(roots())
    found = reading.read()
    for member in range(3):
        signs = torch.stack([step[member] > 0 for step in seen])
        assert found["root_flips"][member] == (signs[1:] != signs[:-1]).sum()
        assert found["smallest_root"][member] == torch.stack([step[member] for step in seen]).abs().min()
    reading.look()
    assert reading.read()["root_flips"].sum() == 0  # counts begin anew


def test_a_space_without_a_skeleton_is_refused():
    network = mlp((4, 3, 2))
    chart = WeightSpace().chart(network.graph, draw(network))
    with pytest.raises(ValueError, match="skeleton"):
        Roots().attach(Scene(network, chart, None, (), chart.start(), None))


BASE = ["space=gspace", "space.fix=keep", "space.skeleton=maxprod", "probes=[roots]", "seeds=2", "epochs=3",
        "optimizer.lr=[1e-3,1e-5]", "network.hidden=[6,6]", "progress=false", "threads=1"]  # fmt: skip


def test_columns_and_chunks(tmp_path):
    tables = []
    for chunk in ("4", "1"):
        config = compose([*BASE, f"results={tmp_path / chunk}", f"chunk={chunk}"])
        run(config)
        tables.append(load_records(config.folder))
    assert list(tables[0].columns[-2:]) == ["root_flips", "smallest_root"]
    assert (tables[0]["root_flips"] == tables[1]["root_flips"]).all()
    np.testing.assert_allclose(tables[0]["smallest_root"], tables[1]["smallest_root"], rtol=1e-3)
    assert tables[0]["root_flips"].sum() > 0


def test_train_subset_scores_the_same_images_after_the_epoch(tmp_path):
    """The column equals a fresh model's loss on evenly spaced training images; all other columns keep their bytes."""
    words = ["seeds=2", "epochs=2", "optimizer.lr=[0.1,1e6]", "network.hidden=[6,6]", "progress=false", "threads=1"]
    probe = "probes=[{name: train_subset, images: 100}]"
    plain, probed = (compose([*words, *more, f"results={tmp_path}"]) for more in ([], [probe, "keep=last"]))
    assert plain.run_id != probed.run_id
    for config in (plain, probed):
        run(config)
    with_probe = load_records(probed.folder)
    same = [c for c in load_records(plain.folder) if c not in ("run", "keys", "configuration")]
    pd.testing.assert_frame_equal(with_probe[same], load_records(plain.folder)[same])
    data = load_dataset("digits").to("cpu")
    images = data.train.part(torch.arange(100) * len(data.train) // 100)
    for member, row in enumerate(with_probe[with_probe["epoch"] == 2].to_dict("records")):
        if row["status"] == "diverged":
            assert not np.isfinite(row["train_subset_loss"])
            continue
        logits = load_model(probed.folder, member)(data.normalise(images.images))
        loss = torch.nn.functional.cross_entropy(logits, images.labels).item()
        assert row["train_subset_loss"] == pytest.approx(loss, rel=1e-4)
        hits = (logits.argmax(1) == images.labels).double().mean().item()
        assert row["train_subset_accuracy"] == pytest.approx(hits)


@dataclass(frozen=True, kw_only=True)
class Watch(Probe):
    """Scores both splits at every look, and counts the looks."""

    column: str = "seen"

    def columns(self, scene):
        return (f"{self.column}_loss", f"{self.column}_looks")

    def attach(self, scene):
        return Watching(self, scene)


class Watching(Reading):
    def __init__(self, probe, scene):
        """Begin with no looks."""
        self.probe, self.scene = probe, scene
        self.looks = torch.zeros(len(scene.members), dtype=torch.int64)
        self.loss = torch.zeros(len(scene.members), dtype=torch.float64)

    def look(self):
        for split in (self.scene.data.train, self.scene.data.val):
            self.loss.copy_(self.scene.evaluator.score(self.scene.weights, split).loss / len(split))
        self.looks += 1

    def read(self):
        numbers = dict(zip(self.probe.columns(self.scene), (self.loss.clone(), self.looks.clone()), strict=True))
        return numbers if self.probe.column != "liar" else {"else": self.loss}

    def tensors(self):
        return {"looks": self.looks, "loss": self.loss}


HERE = f"{__name__}:Watch"


@pytest.mark.parametrize(("space", "optimizer"), [("gspace", "sgd"), ("weight", "adam"), ("fixed", "momentum")])
@pytest.mark.parametrize("batch_size", [100, 1997])
def test_a_probe_that_scores_at_every_step_changes_no_byte(space, optimizer, batch_size, tmp_path):
    """Also where a slab of images is one batch, or as long as the split."""
    base = [f"space={space}", f"optimizer={optimizer}", f"batch_size={batch_size}", "epochs=3", "seeds=2",
            "optimizer.lr=[1e-2,1e-3]", "network.hidden=[6,6]", "progress=false", "threads=1"]  # fmt: skip
    texts = []
    for name, probes in (("with", [f"probes=[{{name:'{HERE}',every:1}}]"]), ("without", [])):
        config = compose([*base, *probes, f"results={tmp_path / name}"])
        run(config)
        texts.append((config.folder / "metrics.csv").read_text().splitlines())
    watched, alone = texts
    assert watched[0] == alone[0] + ",seen_loss,seen_looks"
    assert [line.rsplit(",", 2)[0] for line in watched] == alone
    table = load_records(tmp_path / "with")
    table = table[table["epoch"] > 0]
    np.testing.assert_allclose(table["seen_loss"], table["val_loss"], rtol=1e-12)
    assert (table["seen_looks"] == table["epoch"] * -(-1437 // batch_size)).all()


def test_every_few_steps_or_once_per_epoch_and_resumed(tmp_path):
    data = load_dataset("digits").to("cpu", torch.float64)
    probes = [Watch(every=0, column="end"), Watch(every=4, column="four")]
    cell = Cell(
        mlp((64, 5, 10)), data, WeightSpace(), SGD(), {"optimizer.lr": [0.1]}, [0], batch_size=144, probes=probes
    )
    stack = Stack(cell, cell.members)
    assert cell.steps_per_epoch == 10
    seen = []
    for epoch in (1, 2, 3):
        stack.train_epoch(epoch)
        seen.append(stack.result(None).probed)
        resumed = Stack(cell, cell.members)
        resumed.load(stack.tensors())
        stack = resumed
    assert [s["end_looks"].item() for s in seen] == [1, 2, 3]
    assert [s["four_looks"].item() for s in seen] == [2, 5, 7]  # after steps 4, 8; 12, 16, 20; 24, 28
    assert stack.columns == ("end_loss", "end_looks", "four_loss", "four_looks")


def test_columns_are_unique_and_what_is_read(tmp_path):
    data = load_dataset("digits").to("cpu")
    cell = Cell(mlp((64, 5, 10)), data, WeightSpace(), SGD(), {"optimizer.lr": [0.1]}, [0], probes=[Watch(), Watch()])
    with pytest.raises(ValueError, match="two probes have a column seen_loss"):
        Stack(cell, cell.members)
    liar = Stack(replace(cell, probes=[Watch(column="liar")]), cell.members)
    with pytest.raises(ValueError, match=r"Watch promised the columns .*, it read \['else'\]"):
        liar.result(None)
    taken = compose([f"probes=[{{name:'{HERE}',column:val}}]", f"results={tmp_path / 'none'}"])
    with pytest.raises(ConfigError, match="a probe has the column val_loss, which every run has"):
        run(taken)
    assert not (tmp_path / "none").exists()
    with pytest.raises(ConfigError, match="every must be a number of steps"):
        compose(["probes=[{name: roots, every: -1}]"])


def test_a_file_and_its_values_are_one_run():
    """Released runs name the probe alone."""
    assert compose(["probes=[roots]"]).probes == compose(["probes=[{name: roots, every: 1}]"]).probes == (Roots(),)
    assert compose(["probes=[{name: roots, every: 5}]"]).probes == (Roots(every=5),)


def test_refused_before_anything_is_made(tmp_path):
    config = compose(["probes=[roots]", f"results={tmp_path / 'none'}"])
    with pytest.raises(ConfigError, match="skeleton"):
        run(config)
    assert not (tmp_path / "none").exists()
    with pytest.raises(ConfigError, match="there is no probe"):
        compose(["probes=[rots]"])
    with pytest.raises(ConfigError, match="must be a list"):
        compose(["probes=roots"])


@dataclass(frozen=True, kw_only=True)
class Path(Probe):
    """The way of one weight: an array, and no column."""

    def columns(self, scene):
        return ()

    def attach(self, scene):
        return PathReading(scene)


class PathReading(Reading):
    def __init__(self, scene):  # noqa: D107
        self.scene = scene
        self.values = torch.zeros(len(scene.members), 5, dtype=torch.float64)
        self.count = torch.zeros((), dtype=torch.int64)

    def look(self):
        self.values[:, int(self.count)] = self.scene.weights["0.weight"][:, 0, 20]
        self.count += 1

    def read(self):
        return {}

    def tensors(self):
        return {"values": self.values, "count": self.count}

    def arrays(self):
        return {"path": self.values}


@pytest.mark.parametrize("dies", [False, True])
def test_arrays_lie_beside_the_csv_however_the_run_was_cut(tmp_path, monkeypatch, dies):
    base = ["probes=[{name: 'test_probes:Path'}]", "network.hidden=[6,6]", "progress=false", "threads=1", "epochs=3",
            "seeds=2", "optimizer.lr=[0.1,0.01]", "checkpoint_seconds=0", "keep=[0,1,2,3]"]  # fmt: skip
    config = compose([*base, f"results={tmp_path}", f"chunk={1 if dies else 4}"])
    if dies:
        train_epoch, calls = Stack.train_epoch, []

        def dying(self, epoch, after_step=None):
            calls.append(epoch)
            if len(calls) == 5:
                raise KeyboardInterrupt
            return train_epoch(self, epoch, after_step)

        with monkeypatch.context() as patch:
            patch.setattr(Stack, "train_epoch", dying)
            with pytest.raises(KeyboardInterrupt):
                run(config)
    run(config)
    kept = load_file(config.folder / "weights.safetensors")
    wanted = torch.stack([kept[f"{epoch}/0.weight"][:, 0, 20] for epoch in range(4)], 1)
    assert torch.equal(load_file(config.folder / "arrays.safetensors")["path"][:, :4].float(), wanted)
    assert not (config.folder / "arrays").exists()
    if not dies:
        run(compose([*base[1:], f"results={tmp_path / 'plain'}"]))
        one, other = (next(p.rglob("metrics.csv")) for p in (tmp_path / "runs", tmp_path / "plain"))
        assert one.read_bytes() == other.read_bytes()
