"""Scikit-learn's digits."""

from pathlib import Path

import numpy as np
import torch

from scaleinv.runs.datasets.base import Images, ImageSet
from scaleinv.training.data import Split


class Digits(ImageSet):
    """1,797 handwritten digits of 8 x 8 pixels that come with scikit-learn; every fifth image is a test image."""

    pixels = 1_438 * 8 * 8

    def load(self, root: Path, download: bool) -> Images:
        """Read the set; no files are needed."""
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        pixels = torch.from_numpy((images * (255 / 16)).round().astype(np.uint8))
        whole = Split(pixels, torch.from_numpy(labels).long())
        held = torch.arange(len(whole)) % 5 == 4
        return Images(whole.part(~held), whole.part(held), channels=1, classes=10)
