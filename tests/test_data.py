"""Promise: the data are the published ones, whole, on the device; the batches depend on seed and epoch alone."""

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from scaleinv.runs.datasets import _read as read
from scaleinv.runs.datasets import digits, load_dataset
from scaleinv.runs.datasets.fashion_mnist import FashionMNIST
from scaleinv.runs.errors import DataError
from scaleinv.training.data import batch_order

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real(tmp_path_factory):
    """A folder with the real MNIST and CIFAR-10."""
    given = Path(os.environ.get("SCALEINV_DATA", "data"))
    if (given / "MNIST" / "raw").is_dir() and (given / "cifar-10-batches-py").is_dir():
        return given
    if not (SHARED / "unpack.py").exists():
        pytest.skip("no real MNIST and CIFAR-10: neither in $SCALEINV_DATA nor packed in ../shared/data")
    folder = tmp_path_factory.mktemp("data")
    subprocess.run([sys.executable, SHARED / "unpack.py", folder], check=True, stdout=subprocess.DEVNULL)
    return folder


def test_the_order_depends_on_seed_and_epoch_alone():
    torch.manual_seed(1)
    first = batch_order(3, 7, 100)
    torch.manual_seed(2)
    assert torch.equal(first, batch_order(3, 7, 100))
    assert sorted(first.tolist()) == list(range(100))
    for seed, epoch in ((3, 8), (4, 7), (7, 3)):
        assert not torch.equal(first, batch_order(seed, epoch, 100))


def test_digits():
    data = load_dataset("digits")
    assert (data.features, data.classes, len(data.train), len(data.val)) == (64, 10, 1438, 359)
    assert data.train.images.dtype == torch.uint8
    assert data.train.images.max() == 255
    assert set(data.val.labels.tolist()) == set(range(10))


def test_digits_are_read_without_importing_scikit_learn_and_else_with_it(monkeypatch):
    images, labels = digits._read()
    monkeypatch.setattr(digits, "find_spec", lambda name: None)
    for own, wanted in zip((images, labels), digits._read(), strict=True):
        np.testing.assert_array_equal(own, wanted)


def test_half_is_mean_and_std_one_half():
    data = load_dataset("digits")
    pixels = data.normalise(torch.tensor([[0] * 64, [255] * 64], dtype=torch.uint8))
    torch.testing.assert_close(pixels, torch.tensor([[-1.0] * 64, [1.0] * 64]).to(pixels.dtype))


def test_dataset_normalisation_gives_mean_zero_and_std_one():
    data = load_dataset("digits", normalise="dataset").to("cpu", torch.float64)
    train = data.normalise(data.train.images)
    assert train.mean().item() == pytest.approx(0, abs=1e-12)
    assert train.std(correction=0).item() == pytest.approx(1)


def test_holdout_takes_from_the_training_images_and_is_the_same_for_everybody():
    whole, held = load_dataset("digits"), load_dataset("digits", split="holdout", holdout=200)
    assert (len(held.train), len(held.val), len(held.test)) == (1238, 200, 359)
    assert torch.equal(held.test.images, whole.val.images)
    everything = torch.cat([held.train.images, held.val.images]).double() @ torch.arange(64).double()
    assert torch.equal(everything.sort()[0], (whole.train.images.double() @ torch.arange(64).double()).sort()[0])
    assert torch.equal(load_dataset("digits", split="holdout", holdout=200).val.images, held.val.images)


def test_mnist_is_the_published_one(real):
    data = load_dataset("mnist", real, normalise="dataset", download=False)
    assert (data.features, data.classes, len(data.train), len(data.val)) == (784, 10, 60000, 10000)
    assert data.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    mean, std = -data.shift[0] / data.scale[0] / 255, 1 / (255 * data.scale[0])
    assert mean.item() == pytest.approx(0.1307, abs=1e-4)
    assert std.item() == pytest.approx(0.3081, abs=1e-4)


def test_cifar10_has_its_channels_first(real):
    data = load_dataset("cifar10", real, normalise="dataset", download=False)
    assert (data.features, data.classes, len(data.train), len(data.val)) == (3072, 10, 50000, 10000)
    means = (-data.shift / data.scale / 255).view(3, -1)[:, 0]
    torch.testing.assert_close(means, torch.tensor([0.4914, 0.4822, 0.4465]).double(), atol=1e-4, rtol=0)
    pixels = data.normalise(data.train.images).view(-1, 3, 1024)
    torch.testing.assert_close(pixels.mean((0, 2)), torch.zeros(3).to(pixels.dtype), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("name", "path", "position"),
    [
        ("mnist", "MNIST/raw/train-images-idx3-ubyte", 16 + 784 * 59_999 + 400),
        ("mnist", "MNIST/raw/t10k-labels-idx1-ubyte", 8),
        ("cifar10", "cifar-10-batches-py/data_batch_5", 20_000_000),
    ],
    ids=["pixel", "label", "pickle"],
)
def test_one_changed_byte_is_found(real, tmp_path, name, path, position):
    """Before, one pixel or a label of 77 in files of the right size was trained on; time and size stay here."""
    damaged = tmp_path / path
    damaged.parent.mkdir(parents=True)
    for file in (real / path).parent.iterdir():
        (damaged.parent / file.name).symlink_to(file.resolve())
    damaged.unlink()
    shutil.copy2(real / path, damaged)
    before = damaged.stat()
    load_dataset(name, tmp_path, download=False)
    with damaged.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 1]))
    os.utime(damaged, ns=(before.st_atime_ns, before.st_mtime_ns))
    read.clear()
    with pytest.raises(DataError, match="MD5") as caught:
        load_dataset(name, tmp_path, download=True)
    assert caught.value.where == str(damaged)
    assert "remove it" in caught.value.how
    assert damaged.stat().st_mtime_ns == before.st_mtime_ns, "and nothing was fetched over it"


@pytest.fixture
def fashion(tmp_path):
    """Fashion-MNIST's files with every pixel and label zero: its uncompressed MD5 sums are not published."""
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for name, file in {**FashionMNIST().train, **FashionMNIST().test}.items():
        with (raw / name).open("wb") as stream:
            stream.write(file.header)
            stream.truncate(len(file.header) + math.prod(file.shape))
    return raw


@pytest.mark.parametrize(
    ("name", "position", "byte", "said"),
    [
        ("t10k-labels-idx1-ubyte", 100, 77, "labels are 0 to 77, the published ones 0 to 9"),
        ("train-images-idx3-ubyte", 3, 1, "does not begin as an IDX file"),
        ("train-labels-idx1-ubyte", 60_008, 0, "60,009 bytes, the published file 60,008"),
    ],
)
def test_files_without_published_sums_are_checked_by_size_header_and_labels(fashion, name, position, byte, said):
    root = fashion.parents[1]
    assert load_dataset("fashion_mnist", root, download=False).classes == 10
    with (fashion / name).open("r+b") as file:
        file.seek(position)
        file.write(bytes([byte]))
    read.clear()
    with pytest.raises(DataError, match=said):
        load_dataset("fashion_mnist", root, download=False)


def test_what_cannot_be_read_or_is_incomplete_is_said(fashion):
    (fashion / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="FashionMNIST is incomplete"):
        load_dataset("fashion_mnist", fashion.parents[1], download=False)
    (fashion / "train-labels-idx1-ubyte").mkdir()
    with pytest.raises(DataError, match="train-labels-idx1-ubyte cannot be read"):
        load_dataset("fashion_mnist", fashion.parents[1], download=False)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("imagenet", "there are cifar10, cifar100, digits, fashion_mnist, mnist, tensors, and package.module:Class"),
        ("nowhere:Set", "nowhere:Set cannot be imported"),
        ("scaleinv.training.data:Split", "name a class that can be made, or a function"),
    ],
)
def test_a_name_that_means_no_data_set_is_refused(name, how):
    with pytest.raises(DataError) as caught:
        load_dataset(name)
    assert caught.value.where == "dataset.name"
    assert how in caught.value.how


def test_one_epoch_on_real_mnist_learns(real, tmp_path):
    from scaleinv.runs.config import compose
    from scaleinv.runs.records import load_records
    from scaleinv.runs.run import run

    overrides = ["dataset=mnist", f"dataset.root={real}", "epochs=1", "optimizer.lr=[0.1,0.05]", "progress=false"]
    for space, reached in (("weight", 0.8), ("gspace", None), ("fixed", None)):
        config = compose([*overrides, f"space={space}", f"results={tmp_path}"])
        run(config)
        records = load_records(config.folder)
        assert (records[records.epoch == 0].val_accuracy < 0.3).all()
        if reached:
            assert (records[records.epoch == 1].val_accuracy > reached).all()
