"""Progressive stochastic binarization with probabilities of few bits."""

from dataclasses import dataclass

from scaleinv.numbers.psb import PSB


@dataclass(frozen=True, kw_only=True)
class PBits(PSB):
    """As :class:`PSB`, with p on the grid ``floor(2^bits p) / (2^bits - 1)`` (P 4.2.4)."""

    bits: int = 4

    def __post_init__(self) -> None:
        """Check the numbers."""
        super().__post_init__()
        if self.bits < 1:
            raise ValueError(f"bits must be at least 1, got {self.bits}")
