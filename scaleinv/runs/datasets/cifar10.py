"""CIFAR-10."""

from scaleinv.runs.datasets._published import CifarSet, PublishedFile


class CIFAR10(CifarSet):
    """50,000 + 10,000 colour images of 32 x 32 pixels in 10 classes (docs/sources.md)."""

    folder = "cifar-10-batches-py"
    classes = 10
    key = "labels"
    train = {  # noqa: RUF012
        "data_batch_1": PublishedFile("c99cafc152244af753f735de768cd75f"),
        "data_batch_2": PublishedFile("d4bba439e000b95fd0a9bffe97cbabec"),
        "data_batch_3": PublishedFile("54ebc095f3ab1f0389bbae665268c751"),
        "data_batch_4": PublishedFile("634d18415352ddfa80567beed471001a"),
        "data_batch_5": PublishedFile("482c414d41f54cd18b22e5b47cb7c3cb"),
    }
    test = {"test_batch": PublishedFile("40351d587109b95175f43aff81a1287e")}  # noqa: RUF012
