"""Mixed precision with the device as the default, as `torch.npu.amp` has it."""

from __future__ import annotations

from ascendlite import amp
from ascendlite.core import DType


class autocast(amp.autocast):
    """`al.amp.autocast("npu")`: products in float16 unless another 16-bit dtype is named.

    >>> with al.npu.amp.autocast():
    ...     y = al.ones(2, 2, device="npu") @ al.ones(2, 2, device="npu")
    >>> y.dtype
    ascendlite.float16
    """

    def __init__(self, enabled: bool = True, dtype: DType | None = None, cache_enabled: bool | None = None) -> None:
        super().__init__("npu", dtype, enabled, cache_enabled)


class GradScaler(amp.GradScaler):
    """`al.amp.GradScaler("npu")`."""

    def __init__(
        self, init_scale: float = 2.0**16, growth_factor: float = 2.0, backoff_factor: float = 0.5, growth_interval: int = 2000, enabled: bool = True
    ) -> None:
        super().__init__("npu", init_scale, growth_factor, backoff_factor, growth_interval, enabled)
