"""The scale of the loss in float16: a step that overflowed is left out, and the next ones are computed with a smaller scale.

On an NPU that saturates, an overflow is no infinity in a gradient but a flag of the device; either counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import ascendlite as al
from ascendlite.amp import GradScaler
from ascendlite.core import Device
from ascendlite.optim import Optimizer

from .config import TrainingConfig

LEAST = 2.0**-14  # a scale below which an overflow is no matter of the scale: the guard takes the step as a bad one


class LossScale(GradScaler):
    """`GradScaler` that says whether a step overflowed, and may look at a step that is computed twice.

    >>> scale = LossScale(al.device("cpu"), al.posttrain.SFTConfig(fp16=True))
    >>> scale.get_scale(), scale.overflowed
    (65536.0, False)
    """

    def __init__(self, device: Device, args: TrainingConfig) -> None:
        super().__init__(device.type, enabled=args.fp16)
        self._on_npu = device.type == "npu"

    def begin(self) -> None:
        """Forget what an earlier try of the step came to."""
        self._found_inf.clear()
        self._stepped.clear()
        if self._enabled and self._on_npu:
            al.npu.clear_npu_overflow_flag()

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients by the scale, and look for overflows in them and at the device's flag."""
        super().unscale_(optimizer)
        if self._enabled and self._on_npu and al.npu.get_npu_overflow_flag():
            self._found_inf[id(optimizer)] = True

    @property
    def overflowed(self) -> bool:
        """Whether the step overflowed and a smaller scale may help."""
        return self._scale > LEAST and any(self._found_inf.values())

    def finish(self) -> None:
        """Move the scale by what the step came to."""
        if self._found_inf:
            self.update()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state; checkpoints of runs without float16 have none."""
        if state_dict and math.isfinite(state_dict["scale"]):
            super().load_state_dict(dict(state_dict))


__all__ = ["LossScale"]
