"""Promise: data of a user's own train as ours do, are told apart by their content, and are refused in a sentence."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from scaleinv.reference import train_serial
from scaleinv.runs.build import build_cell
from scaleinv.runs.config import compose
from scaleinv.runs.datasets import data_folder, load_dataset
from scaleinv.runs.errors import ConfigError, DataError, UserError
from scaleinv.runs.records import load_records
from scaleinv.runs.run import run
from scaleinv.training.stack import Stack

N = 60
QUICK = ["network.hidden=[4]", "epochs=2", "batch_size=16", "progress=false", "threads=1", "device=cpu"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def points(seed=0):
    """Three clusters far from zero, in float64, as integers 0 to 2 and as numbers."""
    draw = np.random.default_rng(seed)
    y = np.arange(N) % 3
    return draw.normal(size=(N, 4)) + 2 * y[:, None] + 1e4, y, draw.normal(size=N)


def tensors(path, **options):
    return load_dataset("tensors", path=path, normalise=options.pop("normalise", "dataset"), holdout=0.25, **options)


def save_images(folder, seed=0, mode="RGB", size=(5, 4)):
    draw = np.random.default_rng(seed)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for i in range(4):
            shape = (size[1], size[0], 3) if mode == "RGB" else size[::-1]
            Image.fromarray(draw.integers(0, 256, shape, dtype=np.uint8)).save(folder / name / f"{i}.png")


def test_every_format_holds_the_same_numbers():
    """So all have one checksum, which is what a run is known by."""
    x, y, _ = points()
    np.savez("a.npz", x=x, y=y, unread=np.array([{}]))
    np.savez("keras.npz", x_train=x[:40], y_train=y[:40], x_test=x[40:], y_test=y[40:])
    torch.save({"x": torch.tensor(x), "y": torch.tensor(y)}, "a.pt")
    save_file({"x": torch.tensor(x), "y": torch.tensor(y)}, "a.safetensors")
    table = pd.DataFrame(x, columns=list("abcd")).assign(species=y, when="today")
    table.to_csv("a.csv", index=False)
    table.assign(species=pd.Series(["ant", "bee", "cat"])[y].to_numpy()).to_parquet("a.parquet")
    plain = [f"dataset.path={name}" for name in ("a.npz", "a.pt", "a.safetensors")]
    columns = ["dataset.target=species", "dataset.drop=[when]"]
    configs = [compose(["dataset=tensors", path]) for path in plain]
    assert len({config.run_id for config in configs}) == 1
    configs += [compose(["dataset=tensors", f"dataset.path={path}", *columns]) for path in ("a.csv", "a.parquet")]
    assert len({config.dataset.checksum for config in configs}) == 1
    data = tensors("keras.npz")
    assert (len(data.train), len(data.val), data.test) == (40, 20, None)
    np.savez("test.npz", x=x[40:], y=y[40:])
    np.savez("train.npz", x=x[:40], y=y[:40])
    apart = tensors("train.npz", test_path="test.npz", split="holdout")
    assert (len(apart.train), len(apart.val), len(apart.test)) == (30, 10, 20)


def test_normalisation_is_from_the_training_part_alone():
    x, y, _ = points()
    x[:, 3] = 0.1  # a constant: what is left of it after subtraction is round-off, which must not be blown up
    np.savez("a.npz", x=x, y=y)
    data = tensors("a.npz").to("cpu", torch.float64)
    train = data.normalise(data.train.images)
    torch.testing.assert_close(train.mean(0), torch.zeros(4).double(), atol=1e-9, rtol=0)
    torch.testing.assert_close(train.std(0, correction=0), torch.tensor([1.0, 1, 1, 0]).double())
    order = torch.randperm(N, generator=torch.Generator().manual_seed(0))
    x[order[: N // 4]] *= 5
    np.savez("b.npz", x=x, y=y)
    assert torch.equal(tensors("b.npz").to("cpu", torch.float64).train.images, data.train.images)
    assert not torch.equal(tensors("b.npz").to("cpu", torch.float64).val.images, data.val.images)
    assert not torch.equal(tensors("a.npz", split_seed=1).train.labels, data.train.labels)


def test_bytes_stay_bytes_and_are_normalised_by_channel():
    draw = np.random.default_rng(0)
    x = draw.integers(0, 256, (N, 2, 3, 4), dtype=np.uint8)
    np.savez("a.npz", x=x, y=np.arange(N) % 2)
    data = tensors("a.npz").to("cpu", torch.float64)
    assert (data.train.images.dtype, data.shape) == (torch.uint8, (2, 3, 4))
    planes = data.normalise(data.train.images).view(-1, 2, 12)
    torch.testing.assert_close(planes.mean((0, 2)), torch.zeros(2).double(), atol=1e-12, rtol=0)
    torch.testing.assert_close(planes.std((0, 2), correction=0), torch.ones(2).double())
    plain = tensors("a.npz", normalise="none")
    assert plain.normalise(plain.train.images).max() == 1.0


def test_a_folder_of_images_gives_one_class_per_sub_folder(here):
    save_images(here / "grey", mode="L")
    save_images(here / "split" / "train")
    save_images(here / "split" / "test", seed=1)
    assert tensors("grey").shape == (1, 4, 5)
    data = tensors("split")
    assert (data.shape, data.classes, len(data.train), len(data.val)) == ((3, 4, 5), 2, 8, 8)
    pixels = np.asarray(Image.open("split/train/dog/0.png"))
    np.testing.assert_array_equal(data.train.images[4].view(3, 4, 5).numpy(), pixels.transpose(2, 0, 1))
    assert data.train.labels.tolist() == [0] * 4 + [1] * 4


def test_a_stack_trains_on_them_and_another_file_is_another_run(here, monkeypatch):
    x, y, _ = points()
    np.savez("a.npz", x=x, y=y)
    keys = [*QUICK, "dataset=tensors", "space=gspace", "optimizer.lr=[0.3,0.1]", "seeds=2"]
    first = compose([*keys, "dataset.path=a.npz"])
    run(first)
    records = load_records(first.folder)
    assert len(records) == 2 * 2 * 3
    at = records.groupby("epoch")["val_loss"].mean()
    assert at[2] < at[0]
    assert "done before" in run(compose([*keys, "dataset.path=a.npz"]))
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert compose([*keys, "dataset.path=../a.npz"]).run_id == first.run_id
    x[7, 2] += 1e-9
    np.savez(here / "b.npz", x=x, y=y)
    assert compose([*keys, "dataset.path=../b.npz"]).run_id != first.run_id
    with pytest.raises(DataError, match="not those of this run"):
        run(compose([*keys, "dataset.path=../b.npz", f"dataset.checksum={first.dataset.checksum}"]))
    assert not (here / "elsewhere" / "results").exists()


def test_numbers_are_learned_and_have_no_accuracy():
    x, _, noise = points()
    np.savez("a.npz", x=x, y=np.stack([x[:, 0] - 1e4, 0.1 * noise], 1))
    config = compose([*QUICK, "dataset=tensors", "dataset.path=a.npz", "loss=mean_squared_error", "epochs=30"])
    run(config)
    records = load_records(config.folder)
    assert records["val_accuracy"].isna().all()
    assert records["val_loss"].iloc[-1] < 0.3 * records["val_loss"].iloc[0]
    for override, words in (
        ("loss=cross_entropy", "loss cross_entropy needs labels"),
        ("probes=[complexity]", "needs labels"),
        ("augment=crop_flip", "needs a data set of images"),
    ):
        with pytest.raises(ConfigError, match=words):
            run(compose([*config.arguments, override]))


X, Y = np.ones((6, 2)), np.arange(6) % 2
NAN = np.where(np.arange(12).reshape(6, 2) == 5, np.nan, 1.0)
# What the arrays of a file are, and what is said of them.
REFUSED = {
    "no y": ({"x": X}, "there is no y, only x"),
    "half a test part": ({"x": X, "y": Y, "x_test": X}, "there is no y_test"),
    "lengths": ({"x": X, "y": Y[:5]}, "x has 6 entries and y has 5 entries"),
    "shapes": ({"x": X, "y": Y, "x_test": X[:, :1], "y_test": Y}, "the two parts differ"),
    "not finite": ({"x": NAN, "y": Y}, "1 entries of x hold NaN or infinity, the first is at index 2"),
    "infinite target": ({"x": X, "y": np.array([1.0, np.inf] * 3)}, "3 entries of y hold NaN"),
    "objects": ({"x": np.array([{}] * 6), "y": Y}, "x holds Python objects"),
    "complex": ({"x": X * 1j, "y": Y}, "x holds complex128"),
    "labels from 1": ({"x": X, "y": Y + 1}, "the labels are 1 to 2, 2 different ones; they must be 0 to 1"),
    "negative": ({"x": X, "y": Y - 1}, "the labels are -1 to 0"),
    "one class": ({"x": X, "y": 0 * Y}, "there is one class only: every label is 0"),
    "one-hot": ({"x": X, "y": np.eye(6, dtype=int)}, "labels have one number per input"),
    "empty": ({"x": X[:0], "y": Y[:0]}, "x is empty"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_arrays_that_cannot_be_trained_on_are_refused(case):
    arrays, words = REFUSED[case]
    np.savez("a.npz", **arrays)
    with pytest.raises(DataError) as caught:
        tensors("a.npz")
    assert words in caught.value.what
    assert caught.value.where.endswith("a.npz")
    assert caught.value.how


class Trap:
    """Unpickling it would run code."""

    def __reduce__(self):  # noqa: D105
        return (print, ("code was run",))


def table(**columns):
    return pd.DataFrame({"a": [1.0, 2, 3, 4], "y": [0, 1, 0, 1], **columns})


def write_bad_files(folder):
    torch.save({"x": torch.ones(4, 2), "y": Trap()}, "trap.pt")
    (folder / "text.npz").write_text("no archive")
    (folder / "text.safetensors").write_text("no tensors")
    (folder / "numbers.xls").write_text("")
    table().to_csv("index.csv")
    table(name=list("abcd"), place=list("abcd")).to_csv("words.csv", index=False)
    table(b=[1, None, 3, None]).to_csv("empty.csv", index=False)
    (folder / "nothing").mkdir()
    save_images(folder / "deep" / "cats")
    for part in ("train", "val", "test"):
        save_images(folder / "three" / part)
    save_images(folder / "sizes")
    Image.new("RGB", (9, 9)).save("sizes/dog/8.png")
    save_images(folder / "strange")
    (folder / "strange" / "dog" / "notes.txt").write_text("no image")
    Image.new("RGBA", (5, 4), (0, 0, 0, 9)).save("strange/cat/0.png")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("missing.npz", "there is no missing.npz"),
        ("trap.pt", "this file holds more than tensors"),
        ("text.npz", "this is no .npz file"),
        ("text.safetensors", "this is no safetensors file"),
        ("numbers.xls", "has none of the endings .npz, .pt"),
        ("index.csv", "the column 'Unnamed: 0' looks like an index"),
        ("words.csv", "not numbers: name, place"),
        ("empty.csv", "columns with empty cells: b; the first is row 2"),
        ("nothing", "no sub-folders"),
        ("deep", "the sub-folder cats holds folders"),
        ("three", "these are 3 parts, not two: test, train, val"),
        ("sizes", "the images differ in size: cat/0.png is 5 x 4, dog/8.png is 9 x 9"),
        ("strange", "this image is partly transparent"),
    ],
)
def test_files_that_cannot_be_read_are_refused(here, capsys, path, words):
    write_bad_files(here)
    with pytest.raises(DataError) as caught:
        tensors(path)
    assert words in caught.value.what
    assert "code was run" not in capsys.readouterr().out


def test_a_target_that_does_not_exist_is_refused_with_what_there_is():
    table().to_csv("a.csv", index=False)
    with pytest.raises(DataError, match="there is no column 'species', only a, y"):
        tensors("a.csv", target="species")
    np.savez("a.npz", x=X, y=Y)
    with pytest.raises(DataError, match="there is no species, only x, y"):
        tensors("a.npz", target="species")


def test_the_command_says_it_in_three_lines_and_starts_nothing(here, command):
    np.savez("a.npz", x=X, y=Y / 2)
    code, _, err = command("dataset=tensors", "dataset.path=a.npz")
    assert code == 2
    assert err.startswith("error: loss cross_entropy needs labels, and the targets of tensors are numbers\n")
    assert len(err.splitlines()) == 3
    code, _, err = command("dataset=tensors", "dataset.path=a.npz", "dataset.targt=z")
    assert code == 2
    assert "dataset.target" in err
    np.savez("b.npz", x=np.ones((6, 2, 3, 4, 5)), y=Y)
    code, _, err = command("dataset=tensors", "dataset.path=b.npz", "network=lenet")
    assert code == 2
    assert "needs images (channels, height, width), got inputs (2, 3, 4, 5)" in err
    assert not (here / "results").exists()


FUNCTIONS = """
import numpy as np
from typing import Literal


def clusters(count: int = 40, noise: float = 0.1, form: Literal["pair", "dict"] = "pair", seed: int = 0):
    draw = np.random.default_rng(seed)
    y = np.arange(count) % 2
    x = y[:, None] + noise * draw.normal(size=(count, 3))
    return (x, y) if form == "pair" else {"x": x, "y": y, "x_test": x[:9], "y_test": y[:9]}


def required(count: int):
    return 1 / 0


def loose(*counts):
    return counts


def text():
    return "no arrays"
"""


@pytest.fixture
def functions(here, monkeypatch):
    (here / "own_functions.py").write_text(FUNCTIONS)
    monkeypatch.setattr(sys, "path", [*sys.path, str(here)])
    yield "dataset=own_functions:"
    sys.modules.pop("own_functions", None)


def test_a_function_gives_a_data_set_with_its_parameters_as_options(functions):
    keys = [*QUICK, f"{functions}clusters", "optimizer.lr=0.3"]
    config = compose([*keys, "dataset.noise=0.2"])
    run(config)
    records = load_records(config.folder)
    assert set(records["dataset"]) == {"own_functions:clusters"}
    assert records["val_loss"].iloc[-1] < records["val_loss"].iloc[0]
    options = {key: config.resolved["dataset"][key] for key in ("count", "noise", "form", "seed", "holdout")}
    assert options == {"count": 40, "noise": 0.2, "form": "pair", "seed": 0, "holdout": 0.2}
    ids = [compose([*keys, one]).run_id for one in ("dataset.noise=0.2", "dataset.seed=1", "dataset.form=dict")]
    assert ids[0] == config.run_id
    assert len(set(ids)) == 3
    data = load_dataset("own_functions:clusters", form="dict", normalise="dataset")
    assert (len(data.train), len(data.val)) == (40, 9)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["clusters", "dataset.nose=0.2"], "did you mean dataset.noise"),
        (["clusters", "dataset.count=2.5"], "dataset.count must be a whole number"),
        (["clusters", "dataset.form=list"], "dataset.form must be one of pair, dict"),
        (["required"], "dataset.count must be given"),
        (["required", "dataset.count=1"], "own_functions:required raised ZeroDivisionError"),
        (["loose"], "the parameter *counts"),
        (["text"], "gives a str"),
        (["absent"], "cannot be imported"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
def test_what_a_function_may_not_do_is_said(functions, overrides, words):
    with pytest.raises(UserError) as caught:
        compose([f"{functions}{overrides[0]}", *overrides[1:]])
    assert words in str(caught.value)


def test_the_default_folder_is_beside_or_the_users_cache(here, monkeypatch):
    monkeypatch.delenv("SCALEINV_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))
    assert data_folder() == here / "cache" / "scaleinv"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", str(here / "home"))
    assert data_folder() == here / "home" / ".cache" / "scaleinv"
    (here / "data").mkdir()
    assert data_folder() == Path("data")
    monkeypatch.setenv("SCALEINV_DATA", "given")
    assert data_folder() == Path("given")


def test_regression_is_a_serial_training_with_mse_loss():
    x, _, noise = points()
    np.savez("a.npz", x=x, y=x[:, 0] - 1e4 + noise)
    keys = ["dataset=tensors", "dataset.path=a.npz", "loss=mean_squared_error", "dtype=float64"]
    config = compose(
        [*QUICK, *keys, "optimizer.lr=[0.1,0.03]", "seeds=2", "dataset.label=line", "probes=[train_subset]"]
    )
    run(config)
    cell, records = build_cell(config), load_records(config.folder)
    assert set(records["dataset"]) == {"line"}
    for (lr, seed), rows in records[records["epoch"] > 0].groupby(["lr", "seed"]):
        wanted = train_serial(
            *(cell.network, cell.dataset, seed, lambda model, lr=lr: torch.optim.SGD(model.parameters(), lr)),
            *(config.epochs, config.batch_size),
            loss=torch.nn.functional.mse_loss,
        )
        for name in ("train_loss", "val_loss"):
            np.testing.assert_allclose(rows[name], [row[name] for row in wanted], rtol=1e-12)


def test_a_killed_run_resumes_with_its_own_data_alone(monkeypatch):
    x, y, _ = points()
    np.savez("a.npz", x=x, y=y)
    keys = [*QUICK, "dataset=tensors", "dataset.path=a.npz", "checkpoint_seconds=0", "epochs=3"]
    whole = compose([*keys, "results=whole"])
    run(whole)
    train_epoch = Stack.train_epoch

    epochs, until = [], 2

    def watched(self, epoch, after_step=None):
        if epoch > until:
            raise KeyboardInterrupt
        epochs.append(epoch)
        return train_epoch(self, epoch, after_step)

    with monkeypatch.context() as patch:
        patch.setattr(Stack, "train_epoch", watched)
        with pytest.raises(KeyboardInterrupt):
            run(compose(keys))
    np.savez("a.npz", x=x + 1, y=y)
    other = compose(keys)
    assert other.run_id != whole.run_id
    run(other)
    np.savez("a.npz", x=x, y=y)
    until = 3
    monkeypatch.setattr(Stack, "train_epoch", watched)
    config = compose(keys)
    run(config)
    assert epochs == [1, 2, 3]
    assert (config.folder / "metrics.csv").read_bytes() == (whole.folder / "metrics.csv").read_bytes()


def test_images_train_a_convolutional_network_and_pass_the_check_of_rescaling(here, capsys):
    save_images(here / "pets", size=(8, 8))
    keys = ["dataset=tensors", "dataset.path=pets", "progress=false", "threads=1", "device=cpu", "batch_size=3"]
    config = compose([*keys, "network=cnn", "augment=crop_flip", "augment.padding=1", "epochs=1"])
    run(config)
    assert load_records(config.folder)["status"].eq("ok").all()
    assert "comparisons invariant" in run(compose([*keys, "task=scale_check", "network.hidden=[4]", "task.steps=2"]))
