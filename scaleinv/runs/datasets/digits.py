"""Scikit-learn's digits."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from scaleinv.runs.datasets.base import Images, ImageSet
from scaleinv.training.data import Split

# Where scikit-learn keeps the set, below its own folder.
_FILE = "datasets/data/digits.csv.gz"


class Digits(ImageSet):
    """1,797 handwritten digits of 8 x 8 pixels that come with scikit-learn; every fifth image is a test image."""

    pixels = 1_438 * 8 * 8

    def load(self, root: Path, download: bool) -> Images:
        """Read the set; no files are needed."""
        images, labels = _read()
        pixels = torch.from_numpy((images * (255 / 16)).round().astype(np.uint8))
        whole = Split(pixels, torch.from_numpy(labels).long())
        held = torch.arange(len(whole)) % 5 == 4
        return Images(whole.part(~held), whole.part(held), channels=1, classes=10)


def _read() -> tuple[np.ndarray, np.ndarray]:
    """Return pixels, 0 to 16, and labels. Importing scikit-learn takes longer than a short training, so try without."""
    spec = find_spec("sklearn")
    for folder in (spec and spec.submodule_search_locations) or ():
        if (path := Path(folder, _FILE)).is_file():
            table = np.loadtxt(path, delimiter=",")
            return table[:, :-1], table[:, -1]
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=True)
