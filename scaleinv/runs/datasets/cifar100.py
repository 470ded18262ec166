"""CIFAR-100."""

from scaleinv.runs.datasets._published import CifarSet, PublishedFile


class CIFAR100(CifarSet):
    """50,000 + 10,000 colour images of 32 x 32 pixels in 100 classes."""

    folder = "cifar-100-python"
    classes = 100
    key = "fine_labels"
    train = {"train": PublishedFile("16019d7e3df5f24257cddd939b257f8d")}  # noqa: RUF012
    test = {"test": PublishedFile("f0ef6b0ae62326f3e7ffdfab6717acfc")}  # noqa: RUF012
