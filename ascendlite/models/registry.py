"""Models by kind, so that a checkpoint can say what it holds and be opened again."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from ascendlite.errors import ArgumentError
from ascendlite.models.cache import CausalLM

# Kind: module, class of the model, class of its config. A config has state_dict(), and is made again of its values.
_KINDS = {
    "gpt": ("ascendlite.models.gpt", "GPT", "GPTConfig"),
    "llama": ("ascendlite.models.llama", "Llama", "LlamaConfig"),
    "deepseek_v4": ("ascendlite.models.deepseek_v4", "DeepseekV4", "DeepseekV4Config"),
}


def describe(model: CausalLM) -> dict[str, object]:
    """What `model_of` makes a model of this kind and these sizes of; plain values, for the extras of a checkpoint.

    >>> from ascendlite.models.gpt import GPT, GPTConfig
    >>> describe(GPT(GPTConfig(10, length=8, layers=1, heads=1, width=8)))["kind"]
    'gpt'
    """
    for kind, (_, name, _) in _KINDS.items():
        if type(model).__name__ == name:
            return {"kind": kind, "config": model.config.state_dict()}  # type: ignore[attr-defined]
    raise ArgumentError(f"describe: {type(model).__name__} is none of the models here: {', '.join(_KINDS)}")


def model_of(description: Mapping[str, object]) -> CausalLM:
    """A new model as `describe` told, with random weights."""
    kind, values = description.get("kind"), description.get("config")
    if kind not in _KINDS or not isinstance(values, Mapping):
        raise ArgumentError(f"model: kind {kind!r} is unknown or has no config; known: {', '.join(_KINDS)}")
    place, name, config_name = _KINDS[str(kind)]
    found = vars(importlib.import_module(place))
    try:
        return found[name](found[config_name](**values))  # type: ignore[no-any-return]
    except TypeError as error:
        raise ArgumentError(f"model: the config of {kind} does not fit this release ({error})") from error
