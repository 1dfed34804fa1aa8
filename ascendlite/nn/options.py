"""Modules that are nothing but options: the fields of the class are the constructor's arguments, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, dataclass_transform

from .module import Module

M = TypeVar("M", bound="Optioned")


class Optioned(Module):
    """Base of modules made by `options`: no parameters; `shown` lists the fields that the repr prints."""

    shown: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        Module.__init__(self)

    def extra_repr(self) -> str:
        values = [(name, getattr(self, name)) for name in self.shown]
        # torch prints inplace only where it is set
        return ", ".join(
            f"{name}={value!r}" for name, value in values if not (name == "inplace" and value is False)
        )


@dataclass_transform(eq_default=False)
def options(cls: type[M]) -> type[M]:
    """Write the constructor of an Optioned class from its fields."""
    made: Any = dataclass(eq=False, repr=False)(cls)
    return made  # type: ignore[no-any-return]
