"""einops on tensors: `rearrange`, `reduce`, `repeat`, `pack`, `einsum` accept ours once this module is imported.

einops asks every subclass of its backend class whether a tensor is of its kind; this is that subclass, no patch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from einops._backends import AbstractBackend

import ascendlite
from ascendlite.core import FUNCTIONS, Tensor

_REDUCTIONS = {"min": "amin", "max": "amax", "sum": "sum", "mean": "mean", "prod": "prod", "any": "any", "all": "all"}


class AscendliteBackend(AbstractBackend):  # type: ignore[misc]
    """What einops needs of a framework."""

    framework_name = "ascendlite"

    def is_appropriate_type(self, tensor: object) -> bool:
        return isinstance(tensor, Tensor)

    def from_numpy(self, x: object) -> Tensor:
        made = ascendlite.from_numpy(x)
        return made.requires_grad_() if made.is_floating_point() else made  # as einops does for torch: its tests go backward

    def to_numpy(self, x: Tensor) -> object:
        return x.detach().numpy()

    def arange(self, start: int, stop: int) -> Tensor:
        return ascendlite.arange(start, stop)

    def reduce(self, x: Tensor, operation: str, axes: Sequence[int]) -> Tensor:
        if operation not in ("prod", "any", "all"):
            return FUNCTIONS[_REDUCTIONS[operation]](x, dim=tuple(axes))
        for axis in sorted(axes, reverse=True):  # these take one dim at a time
            x = FUNCTIONS[_REDUCTIONS[operation]](x, dim=axis)
        return x

    def transpose(self, x: Tensor, axes: Sequence[int]) -> Tensor:
        return x.permute(axes)

    def stack_on_zeroth_dimension(self, tensors: list[Tensor]) -> Tensor:
        return FUNCTIONS["stack"](tensors)

    def add_axes(self, x: Tensor, n_axes: int, pos2len: Mapping[int, int]) -> Tensor:
        sizes = [-1] * n_axes
        for position, length in pos2len.items():
            x = x.unsqueeze(position)
            sizes[position] = length
        return x.expand(sizes)

    def tile(self, x: Tensor, repeats: Sequence[int]) -> Tensor:
        return x.repeat(*repeats)

    def concat(self, tensors: Sequence[Tensor], axis: int) -> Tensor:
        return FUNCTIONS["cat"](tensors, dim=axis)

    def add_axis(self, x: Tensor, new_position: int) -> Tensor:
        return x.unsqueeze(new_position)

    def is_float_type(self, x: Tensor) -> bool:
        return x.is_floating_point()

    def layers(self) -> object:
        raise NotImplementedError("einops: its layers are made for other frameworks; use rearrange and reduce as functions")

    def einsum(self, pattern: str, *x: Tensor) -> Tensor:
        return FUNCTIONS["einsum"](pattern, *x)
