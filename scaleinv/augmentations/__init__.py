"""Changes of the training images, drawn anew for every epoch; a configuration names one by its module."""

from scaleinv.augmentations.base import Augmentation, Views
from scaleinv.augmentations.crop_flip import CropFlip
from scaleinv.augmentations.none import NoAugmentation

__all__ = ["Augmentation", "CropFlip", "NoAugmentation", "Views"]
