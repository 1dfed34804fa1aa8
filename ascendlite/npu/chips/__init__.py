"""The chips that can be emulated: one data file each, every number with its unit and its source."""

from ascendlite.npu.chips.chip import Chip, Figure, load, names

__all__ = ["Chip", "Figure", "load", "names"]
