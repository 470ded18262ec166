"""Layers seen from input space: the extrinsic projection, a layer that deforms its inputs, and toy data."""

from scaleinv.extrinsic.boards import board, points, stripes
from scaleinv.extrinsic.layer import ExtrinsicLayer
from scaleinv.extrinsic.projection import condition_numbers, project

__all__ = ["ExtrinsicLayer", "board", "condition_numbers", "points", "project", "stripes"]
