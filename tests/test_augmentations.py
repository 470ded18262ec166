"""Promise: augmented images are crops and reflections that depend on seed and epoch alone; nothing else is changed."""

import numpy as np
import pandas as pd
import pytest
import torch

from scaleinv.augmentations import CropFlip, NoAugmentation
from scaleinv.networks.mlp import mlp
from scaleinv.optim import SGD
from scaleinv.runs.config import compose
from scaleinv.runs.datasets import load_dataset
from scaleinv.runs.errors import ConfigError
from scaleinv.runs.records import load_records
from scaleinv.runs.run import run
from scaleinv.spaces import WeightSpace
from scaleinv.training.cell import Cell
from scaleinv.training.data import Epoch, Slab, epoch_generator
from scaleinv.training.stack import Stack

SHAPE = (3, 5, 4)
IMAGES = torch.randint(256, (7, 60), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("padding", [0, 2])
def test_views_are_crops_and_reflections(padding, flip):
    views = CropFlip(padding, flip).attach(IMAGES, SHAPE)
    index = torch.tensor([3, 0, 3, 6])
    chosen = views.draw(torch.Generator().manual_seed(1))
    assert chosen.shape == (7, 3)
    seen = views.take(index, chosen[index])
    assert (seen.shape, seen.dtype) == ((4, 60), torch.uint8)
    for image, i in zip(seen, index.tolist(), strict=True):
        down, across, reflected = chosen[i].tolist()
        widths = [(0, 0), (padding, padding), (padding, padding)]
        wanted = np.pad(IMAGES[i].view(SHAPE).numpy(), widths)[:, down : down + 5, across : across + 4]
        wanted = wanted[:, :, ::-1] if reflected else wanted
        assert image.view(SHAPE).tolist() == wanted.tolist()


def test_every_place_and_reflection_is_drawn_equally_often():
    views = CropFlip(1).attach(IMAGES[:1].expand(6000, -1), SHAPE)
    chosen = views.draw(torch.Generator().manual_seed(2))
    _, counts = chosen.unique(dim=0, return_counts=True)
    assert len(counts) == 3 * 3 * 2
    assert ((counts / 6000 - 1 / 18).abs() < 5 * (1 / 18 / 6000) ** 0.5).all()
    unflipped = CropFlip(1, flip=False).attach(IMAGES, SHAPE).draw(torch.Generator().manual_seed(2))
    assert not unflipped[:, 2].any()


def test_an_epochs_views_depend_on_seed_and_epoch_alone():
    data, index = load_dataset("digits"), torch.arange(100)[None]
    views = CropFlip().attach(data.train.images, data.shape)

    def seen(seeds, epoch):
        batches = Epoch(data, views, Slab(data), seeds, epoch)
        return batches.gather(index.expand(len(seeds), -1)).clone()

    together = seen([4, 9], 2)
    assert torch.equal(together[1:], seen([9], 2))
    assert torch.equal(together[:1], seen([4], 2))
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(seen([4], 2), seen([4], 3))
    assert not torch.equal(epoch_generator("x", 0, 1).get_state(), epoch_generator("y", 0, 1).get_state())


def test_only_what_is_trained_on_changes():
    """Padding by nothing and no reflection give the bits of no augmentation; scores see the images as they are."""
    data, stacks = load_dataset("digits"), []
    for augment in (NoAugmentation(), CropFlip(0, flip=False), CropFlip()):
        axes = {"optimizer.lr": [0.1, 0.01]}
        cell = Cell(mlp((64, 8, 10)), data, WeightSpace(), SGD(), axes, [0, 1], 100, augment=augment)
        stacks.append(Stack(cell, cell.members))
    first = [stack.score(data.val).loss for stack in stacks]
    assert torch.equal(first[0], first[2])
    losses = [stack.train_epoch(1).loss for stack in stacks]
    assert torch.equal(losses[0], losses[1])
    assert not torch.equal(losses[0], losses[2])
    checkpoint = {name: t.clone() for name, t in stacks[2].tensors().items()}
    stacks[0].load(checkpoint)
    assert torch.equal(stacks[0].score(data.val).loss, stacks[2].score(data.val).loss)
    again = Stack(stacks[2].cell, stacks[2].cell.members)
    again.load(checkpoint)
    assert torch.equal(again.train_epoch(2).loss, stacks[2].train_epoch(2).loss)


def test_stacks_of_any_size_see_the_same_images(tmp_path):
    overrides = ["augment=crop_flip", "augment.padding=1", "epochs=2", "seeds=2", "optimizer.lr=[0.1,0.3]"]
    losses = []
    for chunk in (1, 4):
        config = compose([*overrides, f"chunk={chunk}", f"results={tmp_path / str(chunk)}", "progress=false"])
        run(config)
        losses.append(load_records(config.folder)[["epoch", "train_loss", "val_loss"]])
    pd.testing.assert_frame_equal(*losses, rtol=1e-4)


def test_images_without_a_shape_are_refused():
    with pytest.raises(ValueError, match="crop_flip needs a data set of images"):
        CropFlip().attach(IMAGES, ())
    with pytest.raises(ConfigError, match="padding must be at least 0"):
        compose(["augment=crop_flip", "augment.padding=-1"])
