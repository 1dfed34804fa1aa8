"""Whether float32 products of the cube round their inputs to HF32 (10 bits of mantissa): the switches of `torch.npu.matmul` and `torch.npu.conv`."""

from __future__ import annotations

from typing import Final


class Switch:
    """Settings of one family of operators: `allow_hf32`, True or False.

    With it, float32 inputs are rounded to the nearest number of 10 bits of mantissa, ties to even, when they enter the multiplier, at twice the
    rate; products and sums stay float32. Relative error of an input: at most 2^-11. The wide numerics modes round nothing.
    False at first: what a CPU computes in float32, the device does. torch_npu begins with True for `conv`; set it to see those numbers and times.

    >>> al.npu.matmul.allow_hf32, al.npu.conv.allow_hf32
    (False, False)
    """

    __slots__ = ("_allow", "_name")

    def __init__(self, name: str, allow: bool) -> None:
        self._name, self._allow = name, allow

    @property
    def allow_hf32(self) -> bool:
        """Whether float32 is multiplied as HF32."""
        return self._allow

    @allow_hf32.setter
    def allow_hf32(self, allow: bool) -> None:
        if not isinstance(allow, bool):
            raise TypeError(f"npu.{self._name}.allow_hf32: must be True or False, not {type(allow).__name__}")
        self._allow = allow

    def __repr__(self) -> str:
        return f"<ascendlite.npu.{self._name}: allow_hf32={self._allow}>"


# Float32 is float32 unless a program asks otherwise. (torch_npu lets convolutions cut their inputs unless asked not to.)
matmul: Final = Switch("matmul", False)
conv: Final = Switch("conv", False)
