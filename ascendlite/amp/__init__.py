"""Mixed precision: autocast runs products in a 16-bit type, GradScaler keeps float16 gradients alive."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from ascendlite.amp.custom import custom_bwd as custom_bwd, custom_fwd as custom_fwd
from ascendlite.core import DType, Tensor, bfloat16, float16, get_autocast, no_grad, set_autocast
from ascendlite.ops import fused_optim

if TYPE_CHECKING:
    from ascendlite.optim import Optimizer

P = ParamSpec("P")
R = TypeVar("R")

# what a device runs in when no dtype is named; the cards take bf16 and fp16, and torch_npu defaults to fp16
DEFAULT_DTYPES: dict[str, DType] = {"cpu": bfloat16, "npu": float16, "meta": bfloat16}
# devices of torch that are not here: there is nothing of theirs to cast, as on any machine without them
_ELSEWHERE = ("cuda", "xpu", "mps", "hpu", "xla", "mtia", "maia", "ipu", "privateuseone")


def is_autocast_available(device_type: str) -> bool:
    """Whether autocast knows this kind of device.

    >>> al.amp.is_autocast_available("cpu")
    True
    """
    if not isinstance(device_type, str):
        raise ValueError(f"is_autocast_available: device_type is {device_type!r}; pass a name such as 'cpu'")
    return device_type in DEFAULT_DTYPES


class autocast:
    """Products in it (or in a function it decorates) run in `dtype`; softmax, norms and losses in float32.

    >>> with al.amp.autocast("cpu", dtype=al.bfloat16):
    ...     y = al.ones(2, 2) @ al.ones(2, 2)
    >>> y.dtype
    ascendlite.bfloat16
    """

    def __init__(
        self,
        device_type: str = "cpu",
        dtype: DType | None = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        if not isinstance(device_type, str):
            raise ValueError(f"autocast: device_type is {device_type!r}; pass a name such as 'cpu' or 'npu'")
        kind = device_type.partition(":")[0]
        if kind in _ELSEWHERE:
            if enabled:
                warnings.warn(f"autocast: there is no device {kind!r} here, so nothing is cast; use one of {sorted(DEFAULT_DTYPES)}", stacklevel=2)
            enabled = False
        elif kind not in DEFAULT_DTYPES:
            raise RuntimeError(
                f"autocast: device_type {device_type!r} is unknown; use one of {sorted(DEFAULT_DTYPES)}"
            )
        self.device_type = kind
        self.fast_dtype = DEFAULT_DTYPES.get(kind, float16) if dtype is None else dtype
        if enabled and self.fast_dtype not in (bfloat16, float16):
            raise ValueError(
                f"autocast: dtype {self.fast_dtype} is not a 16-bit floating type; use bfloat16 or float16"
            )
        self.enabled = enabled
        self._previous: list[tuple[bool, DType | None]] = []

    def __enter__(self) -> autocast:
        if self.device_type in _ELSEWHERE:
            self._previous.append(get_autocast())
            return self
        self._previous.append(set_autocast(self.enabled, self.fast_dtype if self.enabled else None))
        return self

    def __exit__(self, *exc: object) -> None:
        set_autocast(*self._previous.pop())

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            with self:
                return function(*args, **kwargs)

        return run


class GradScaler:
    """Scales the loss so that float16 gradients stay representable; skips steps that overflowed.

    >>> weight = al.nn.Parameter(al.ones(2))
    >>> optimizer = al.optim.SGD([weight], lr=0.1)
    >>> scaler = al.amp.GradScaler("cpu")
    >>> scaler.scale(weight.sum()).backward()
    >>> scaler.step(optimizer)
    >>> scaler.update()
    """

    def __init__(
        self,
        device: str = "cpu",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if enabled and growth_factor <= 1.0:
            raise ValueError(f"GradScaler: the growth factor must be > 1.0, got {growth_factor}")
        if enabled and not 0.0 < backoff_factor < 1.0:
            raise ValueError(f"GradScaler: the backoff factor must be between 0 and 1, got {backoff_factor}")
        self._device = device
        self._enabled = enabled
        self._scale = float(init_scale)
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        self._growth_tracker = 0
        self._found_inf: dict[int, bool] = {}  # by id of the optimizers unscaled since the last update
        self._stepped: set[int] = set()

    def is_enabled(self) -> bool:
        return self._enabled

    def get_scale(self) -> float:
        """The factor in use (1.0 when disabled)."""
        return self._scale if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        self._growth_interval = new_interval

    def scale(self, outputs: Any) -> Any:
        """outputs (a Tensor, or lists and tuples of them) times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            return outputs * self._scale
        if isinstance(outputs, Iterable) and not isinstance(outputs, (str, dict)):
            scaled = [self.scale(output) for output in outputs]
            return scaled if isinstance(outputs, list) else tuple(scaled)
        raise ValueError(
            f"scale: outputs must be a Tensor or an iterable of Tensors, got {type(outputs).__name__}"
        )

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the optimizer's gradients by the scale, in place, and look for inf and nan."""
        if not self._enabled:
            return
        key = id(optimizer)
        if key in self._stepped:
            raise RuntimeError(
                "unscale_() is being called after step(); call it before, or call update() first"
            )
        if key in self._found_inf:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update()")
        grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        with no_grad():
            fused_optim.scale_(grads, 1.0 / self._scale)
            self._found_inf[key] = not math.isfinite(float(fused_optim.grad_norm(grads, math.inf)))

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """optimizer.step(), skipped if a gradient holds inf or nan; unscales first if that was not done."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs or args:
            raise RuntimeError(
                "Closure use is not currently supported if GradScaler is enabled; compute the loss before"
            )
        key = id(optimizer)
        if key in self._stepped:
            raise RuntimeError("step() has already been called since the last update()")
        if key not in self._found_inf:
            self.unscale_(optimizer)
        self._stepped.add(key)
        return None if self._found_inf[key] else optimizer.step()

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Shrink the scale after an overflow, grow it after growth_interval steps without one."""
        if not self._enabled:
            return
        if new_scale is not None:
            self._scale = float(new_scale)
        elif not self._found_inf:
            raise RuntimeError("update: no inf checks were recorded prior to update; call step() first")
        elif any(self._found_inf.values()):
            self._scale *= self._backoff_factor
            self._growth_tracker = 0
        else:
            self._growth_tracker += 1
            if self._growth_tracker == self._growth_interval:
                grown = self._scale * self._growth_factor
                self._scale = grown if grown <= _FLOAT32_MAX else self._scale
                self._growth_tracker = 0
        self._found_inf.clear()
        self._stepped.clear()

    def state_dict(self) -> dict[str, Any]:
        """Scale and counters, with torch's keys; empty when disabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self._scale,
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_tracker,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what state_dict gave."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "load_state_dict: the source state dict is empty, possibly because it was saved from a "
                "disabled instance of GradScaler"
            )
        self._scale = state_dict["scale"]
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._growth_tracker = state_dict["_growth_tracker"]


_FLOAT32_MAX = 3.4028234663852886e38
