"""Promise: the convolutional architectures are the published ones, and take the images of every data set."""

import pytest
import torch
from torch import nn

from scaleinv.networks.cnn import CNN
from scaleinv.networks.lenet import LeNet
from scaleinv.networks.mobilenet_v2 import MobileNetV2
from scaleinv.networks.plainnet import PlainNet
from scaleinv.networks.resnet import ResNet
from scaleinv.networks.vgg import VGG
from scaleinv.runs.datasets import load_dataset
from scaleinv.runs.datasets.base import Images
from scaleinv.spaces import CycleSpace, FixedWeightSpace, GSpace
from scaleinv.training.data import Split

MNIST, CIFAR = (1, 28, 28), (3, 32, 32)
# Numbers of parameters: of the original (LeNet-5: LeCun et al. 1998 with full connections; ResNet-20: 0.27 million in
# He et al. 2016, table 6, plus the two projections), and for the others counted by hand from the published tables.
PARAMETERS = [
    (LeNet(), MNIST, 61_706),
    (LeNet(bias=False, pooling="avg"), MNIST, 61_706 - 6 - 16 - 120 - 84 - 10),
    (CNN([16, 32], [64]), CIFAR, 3 * 16 * 9 + 16 + 16 * 32 * 9 + 32 + 32 * 64 * 64 + 64 + 650),
    (CNN([4], [], norm=True, pooling="none"), MNIST, 36 + 8 + 4 * 784 * 10 + 10),
    (VGG(11), CIFAR, 9_217_728 + 2 * 2_752 + 5_130),
    (ResNet(20), CIFAR, 269_722 + 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64),
    (PlainNet(20), CIFAR, 269_722),
    (PlainNet(20, norm=False), CIFAR, 269_722 - 688),
    (ResNet(34), CIFAR, 21_282_122),
    (MobileNetV2(), CIFAR, 2_236_682),
]


@pytest.mark.parametrize(("architecture", "inputs", "count"), PARAMETERS, ids=lambda x: str(x))
def test_numbers_of_parameters(architecture, inputs, count):
    assert sum(p.numel() for p in architecture.module(inputs, 10).parameters()) == count


@pytest.mark.parametrize("inputs", [MNIST, CIFAR, (1, 8, 8)], ids=str)
def test_every_data_sets_images(inputs):
    for architecture in (LeNet(), CNN([4, 8], [9]), VGG(11), ResNet(8), PlainNet(8, norm=False), MobileNetV2(0.125)):
        assert architecture.module(inputs, 7)(torch.randn(2, *inputs)).shape == (2, 7)


def test_shapes_of_images():
    data = load_dataset("digits")
    assert data.shape == data.inputs == (1, 8, 8)
    split = Split(torch.zeros(2, 24, dtype=torch.uint8), torch.zeros(2, dtype=torch.long))
    assert Images(split, split, 2, 3, (3, 4)).shape == (2, 3, 4)
    assert Images(split, split, 1, 3).shape == (24,)  # no square: a network for images refuses it
    with pytest.raises(ValueError, match=r"size \(3, 5\) do not have the 24 pixel values"):
        Images(split, split, 2, 3, (3, 5))


@pytest.mark.parametrize("depth", [20, 32, 34, 56])
@pytest.mark.parametrize("make", [ResNet, PlainNet])
def test_depth_counts_layers_on_the_longest_path(make, depth):
    model = make(depth).module(CIFAR, 10)
    on_path = [m for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear) and "shortcut" not in n]
    assert len(on_path) == depth
    assert any("shortcut" in n for n, m in model.named_modules()) == (make is ResNet)


@pytest.mark.parametrize("norm", [False, True])
def test_activations_of_deep_networks_keep_their_size(norm):
    """He's initialisation; with PyTorch's default the outputs of the second would not depend on the image."""
    torch.manual_seed(0)
    for make in (ResNet, PlainNet):
        outputs = make(32, norm).module(CIFAR, 10)(torch.randn(8, *CIFAR))
        assert 1e-4 < outputs.std(0).mean() < 100


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LeNet(pooling="mean"), "max or avg"),
        (lambda: CNN([0], []), "1 or more"),
        (lambda: CNN([2], [2], pooling="sum"), "max, avg, none"),
        (lambda: CNN([2] * 4, []).module((1, 8, 8), 10), "8 x 8 pixels are too small"),
        (lambda: VGG(12), "11, 13, 16"),
        (lambda: ResNet(21), r"6 n \+ 2"),
        (lambda: PlainNet(2), r"6 n \+ 2"),
        (lambda: MobileNetV2(0.0), "at least 0.125"),
        (lambda: ResNet(8).network((64,), 10), "needs images"),
    ],
)
def test_impossible_networks_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


# Numbers of invariances by hand: a class per channel, where shortcuts join the blocks of a stage one for all of them;
# with batch norm its scale takes the place of the convolution before it.
INVARIANCES = [
    (LeNet(), MNIST, 6 + 16 + 120 + 84),
    (CNN([4, 8], [9]), CIFAR, 4 + 8 + 9),
    (CNN([4, 8], [9], norm=True), CIFAR, 4 + 8 + 9),
    (ResNet(8), CIFAR, (16 + 32 + 64) + (16 + 32 + 64)),
    (PlainNet(8, norm=False), CIFAR, 16 + 2 * (16 + 32 + 64)),
]


@pytest.mark.parametrize(("architecture", "inputs", "hidden"), INVARIANCES, ids=str)
def test_numbers_of_invariances_and_spaces(architecture, inputs, hidden):
    network = architecture.network(inputs, 10)
    assert (network.inputs, network.outputs) == (inputs, 10)
    assert network.graph.hidden == hidden
    for space in (GSpace("maxprod", "keep"), CycleSpace(), FixedWeightSpace()):
        assert space.supports(network.graph)
