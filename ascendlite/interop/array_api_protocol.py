"""`Tensor.__array_namespace__` and the array API's other attributes, for code written against the standard."""

from __future__ import annotations

from types import ModuleType

from ascendlite.core import Device, Tensor, add_method

_VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12")


def array_namespace(self: Tensor, *, api_version: str | None = None) -> ModuleType:
    """The module with the standard's functions for tensors."""
    if api_version is not None and api_version not in _VERSIONS:
        raise ValueError(f"__array_namespace__: version {api_version!r} is not supported; supported: {', '.join(_VERSIONS)}")
    from . import array_api

    return array_api


def to_device(self: Tensor, device: str | Device, /, *, stream: object = None) -> Tensor:
    """The tensor on another device."""
    if stream is not None:
        raise ValueError(f"to_device: stream is {stream!r}; there are none: leave it out")
    return self.to(device)


add_method("__array_namespace__", array_namespace)
add_method("to_device", to_device)
