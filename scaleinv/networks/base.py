"""What an architecture is."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn

from scaleinv.symmetry.network import Network
from scaleinv.symmetry.trace import describe


@dataclass(frozen=True)
class Architecture(ABC):
    """Options of a network. Subclasses are frozen dataclasses; their fields are its configuration keys."""

    @abstractmethod
    def network(self, inputs: tuple[int, ...], outputs: int) -> Network:
        """Describe the network between a data set's inputs and classes.

        Args:
            inputs: shape of one input, ``(channels, height, width)`` for images, ``(features,)`` for vectors.
            outputs: number of classes, or of predicted values.

        Raises:
            ValueError: there is no such network for these inputs; the message says why.
        """


@dataclass(frozen=True)
class ImageArchitecture(Architecture):
    """An architecture that is written as a module for images; its description is traced."""

    @abstractmethod
    def module(self, inputs: tuple[int, int, int], outputs: int) -> nn.Module:
        """Make a fresh module, its weights drawn from the global generator.

        Args:
            inputs: channels, height and width of an image.
            outputs: number of outputs.

        Raises:
            ValueError: there is no such network for images of this shape; the message says why.
        """

    def network(self, inputs: tuple[int, ...], outputs: int) -> Network:
        """Describe the module; see :meth:`Architecture.network`."""
        if len(inputs) != 3:
            raise ValueError(f"{type(self).__name__} needs images (channels, height, width), got inputs {inputs}")
        channels, height, width = inputs
        make = partial(self.module, (channels, height, width), outputs)
        with torch.random.fork_rng(devices=[]):
            model = make()
        described = describe(model, torch.zeros(2, *inputs))
        return replace(described, make=make, inputs=inputs, outputs=outputs)
