"""Names of `torch.npu` that programs call at their start, where there is nothing to choose: what they ask for is checked and holds anyway."""

from __future__ import annotations

from typing import Any, Final

from ascendlite.core import DType, Tensor, _core
from ascendlite.errors import ArgumentError
from ascendlite.npu.runtime.device import device, device_index, state


def set_compile_mode(jit_compile: bool = False) -> None:
    """Kernels are traced and proved once a kind of call; there is no compiler of operators, so True is refused."""
    if jit_compile:
        raise ArgumentError("npu.set_compile_mode: jit_compile=True, but there is no compiler of operators; leave it False")


def is_jit_compile_false() -> bool:
    """True."""
    return True


# What torch_npu's set_option takes, and the values that say what this device does.
_OPTIONS: Final = {"jitCompile": ("disable",), "ACL_PRECISION_MODE": ("must_keep_origin_dtype",), "ALLOW_INTERNAL_FORMAT": ("disable",)}


def set_option(option: dict[str, Any]) -> None:
    """Accepts {"jitCompile": "disable"}, {"ALLOW_INTERNAL_FORMAT": "disable"}, {"ACL_PRECISION_MODE": "must_keep_origin_dtype"}."""
    for name, value in option.items():
        if value not in _OPTIONS.get(name, ()):
            known = ", ".join(f"{key}={value!r}" for key, values in _OPTIONS.items() for value in values)
            raise ArgumentError(f"npu.set_option: {name}={value!r} is not what this device does; it does {known}")


class Config:
    """`al.npu.config`: tensors keep their plain layout, so `allow_internal_format` is False and may be set to it."""

    __slots__ = ()

    @property
    def allow_internal_format(self) -> bool:
        """Whether operators may keep results in the cube's fractal layout."""
        return False

    @allow_internal_format.setter
    def allow_internal_format(self, allow: bool) -> None:
        if allow:
            raise ArgumentError("npu.config.allow_internal_format: tensors keep their plain layout here; leave it False")

    def __repr__(self) -> str:
        return "<ascendlite.npu.config: allow_internal_format=False>"


config: Final = Config()


def get_device_capability(device: Any = None) -> None:
    """None: the cards have no such number."""
    device_index(device)


def get_amp_supported_dtype() -> list[DType]:
    """What autocast may cast to on the device."""
    return [_core.DTYPE_NAMES["float16"], _core.DTYPE_NAMES["bfloat16"]]


class device_of(device):
    """Make the die of a tensor the current one inside; a tensor of the host changes nothing."""

    def __init__(self, obj: Tensor) -> None:
        super().__init__(obj.device if obj.is_npu else state.current)
