"""Names that users of TRL and transformers bring: what they are called here, which ones say what is always so, and what unknown ones may mean."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping

from ascendlite.errors import ArgumentError

# Their name, ours, and ours of their value.
_RENAMED: dict[str, tuple[str, Callable[[object], object]]] = {
    "max_seq_length": ("max_length", lambda value: value),
    "use_bias_correction_kl": ("kl", lambda value: "unbiased" if value else "k3"),
    "vllm_importance_sampling_correction": ("importance_sampling_correction", lambda value: value),
    "vllm_importance_sampling_mode": ("importance_sampling_mode", lambda value: value),
    "vllm_importance_sampling_cap": ("importance_sampling_cap", lambda value: value),
}
# Their name, the values that say what is so here anyway, and what to do for another one.
_ALWAYS: dict[str, tuple[tuple[object, ...], str]] = {
    "use_vllm": ((False,), "the model itself draws completions"),
    "remove_unused_columns": ((False,), "reward functions get all columns; ignore those that you don't need"),
    "shuffle_dataset": ((True,), "examples come in an order that depends on the seed"),
    "gradient_checkpointing": ((False,), "make the model with recompute=True"),
    "save_strategy": (("steps",), "save_steps says when; 0 is at the end only"),
    "logging_strategy": (("steps",), "logging_steps says when"),
    "eval_strategy": (("no",), "call ascendlite.posttrain.evaluate, in a callback if it is to be done during training"),
    "repetition_penalty": ((1.0, None), "training needs a distribution that can be computed again"),
    "top_entropy_quantile": ((1.0,), "every token is learned from"),
    "multi_objective_aggregation": (("sum_then_normalize",), "rewards are summed by weight, then normalised"),
    "generation_kwargs": ((None, {}), "temperature, top_k, top_p and min_p are fields of their own"),
    "max_prompt_length": ((None,), "prompts are never cut; leave long ones out of the data set"),
    "dataset_text_field": (("text",), "rename the column to text"),
    "truncation_mode": (("keep_start",), "long examples are cut at the end"),
    "packing_strategy": (("bfd",), "packing is best-fit decreasing"),
    "assistant_only_loss": ((True,), "set completion_only_loss=False to learn whole conversations"),
    "reference_free": ((False,), "give a ref_model"),
    "lmbda": ((1.0,), "the student learns from its own completions alone"),
    "precompute_ref_log_probs": ((False,), "they are computed with each step"),
    "dataloader_num_workers": ((0,), "rows are read in the process of the trainer"),
    "push_to_hub": ((False,), "nothing is sent anywhere"),
}  # fmt: skip


def understood(kind: str, given: Mapping[str, object], known: Collection[str]) -> dict[str, object]:
    """What was given, by the names of here; TypeError for a name that means nothing, ArgumentError for a value that cannot be."""
    found: dict[str, object] = {}
    for name, value in given.items():
        if name in known:
            found[name] = value
        elif name in _RENAMED and _RENAMED[name][0] in known:
            ours, convert = _RENAMED[name]
            if ours in given:
                raise ArgumentError(f"{kind}: {name} and {ours} are the same; give one of them")
            found[ours] = convert(value)
        elif name in _ALWAYS:
            fine, text = _ALWAYS[name]
            if value not in fine:
                raise ArgumentError(f"{kind}: {name} is {value!r}, but only {fine[0]!r} is possible here: {text}")
        else:
            near = difflib.get_close_matches(name, [*known, *_RENAMED], 1)
            raise TypeError(f"{kind}: there is no {name!r}" + (f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(sorted(known))}"))
    return found


class Named(type):
    """The class of configs: names are understood before the config is made."""

    def __call__(cls, *args: object, **kwargs: object) -> object:
        known = [name for name in getattr(cls, "__dataclass_fields__", {}) if not name.startswith("_")]
        return super().__call__(*args, **understood(cls.__name__, kwargs, known))
