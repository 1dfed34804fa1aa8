"""A module whose forward is captured. Parameters, buffers and modes stay those of the module that was given."""

from __future__ import annotations

from typing import Any

from ascendlite.nn import Module


class CompiledModule(Module):
    """What `al.compile(model)` gives: called like the model, and with its attributes. `_orig_mod` is the model."""

    def __init__(self, model: Module, compiled: Any) -> None:
        super().__init__()
        self._orig_mod = model
        self.__dict__["_compiled"] = compiled
        self.__dict__["training"] = model.training

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The model's result."""
        return self.__dict__["_compiled"](*args, **kwargs)

    def explain(self) -> str:
        """What was captured, in words."""
        return str(self.__dict__["_compiled"].explain())

    def __getattr__(self, name: str) -> Any:
        wrapped = self.__dict__.get("_modules", {}).get("_orig_mod")
        if wrapped is None:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(wrapped, name)
