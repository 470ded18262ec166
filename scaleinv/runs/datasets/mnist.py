"""MNIST."""

from scaleinv.runs.datasets._published import IdxSet


class MNIST(IdxSet):
    """60,000 + 10,000 handwritten digits of 28 x 28 pixels (docs/sources.md)."""

    sums = (
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    )
