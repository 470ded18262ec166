"""Fashion-MNIST."""

from scaleinv.runs.datasets._published import IdxSet


class FashionMNIST(IdxSet):
    """60,000 + 10,000 pictures of clothes of 28 x 28 pixels.

    Only the MD5 sums of the compressed files were published, so sizes, headers and the range of the labels are checked.
    """

    sums = None
