"""Names of transformers' `generate` as options of here: what is called otherwise, and what says what is always so."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping

from ascendlite.errors import ArgumentError

# Their name, ours, and ours of their value.
_RENAMED: dict[str, tuple[str, Callable[[object], object]]] = {
    "num_return_sequences": ("samples", lambda value: value),
    "stop_strings": ("stop", lambda value: value),
    "eos_token_id": ("stop_tokens", lambda value: value),
}
_INSTEAD: dict[str, tuple[tuple[object, ...], str]] = {
    "num_beams": ((1,), "texts are drawn token by token; samples=N gives several"),
    "num_beam_groups": ((1,), "texts are drawn token by token; samples=N gives several"),
    "use_cache": ((True,), "what was read is always kept"),
    "length_penalty": ((1.0,), "there are no beams that it could weigh"),
    "no_repeat_ngram_size": ((0,), "use repetition_penalty"),
    "max_length": ((), "max_new_tokens counts what is written, without the prompt"),
    "min_new_tokens": ((None, 0), "leave stop_tokens empty to write on to max_new_tokens"),
    "streamer": ((None,), "model.stream(...) yields tokens as they are written"),
    "output_scores": ((False, None), "logprobs=True gives logarithms of probabilities"),
    "return_dict_in_generate": ((False, True, None), ""),
    "attention_mask": ((None,), "give rows of different lengths as a list of lists"),
    "generator": ((None,), "seed= is a number, or one for each row"),
}
_ANY = ("pad_token_id",)  # padding never reaches the model


def options_of(given: Mapping[str, object], known: Collection[str]) -> dict[str, object]:
    """What was asked for, by the names of here."""
    found: dict[str, object] = {}
    for name, value in given.items():
        if name in known:
            found[name] = value
        elif name in _RENAMED:
            ours, convert = _RENAMED[name]
            if ours in given:
                raise ArgumentError(f"generate: {name} and {ours} are the same; give one of them")
            found[ours] = convert(value)
        elif name in _INSTEAD:
            fine, text = _INSTEAD[name]
            if value not in fine:
                raise ArgumentError(f"generate: there is no {name}: {text}")
        elif name not in (*_ANY, "do_sample"):
            near = difflib.get_close_matches(name, [*known, *_RENAMED], 1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(known))}"
            raise ArgumentError(f"generate: there is no option {name}; {hint}")
    return _with_sampling(given, found)


def _with_sampling(given: Mapping[str, object], found: dict[str, object]) -> dict[str, object]:
    """`do_sample=False` is a temperature of 0; another temperature beside it contradicts."""
    if given.get("do_sample") is False:
        if found.get("temperature") not in (None, 0, 0.0, 1.0):
            raise ArgumentError(f"generate: do_sample=False with temperature={found['temperature']!r}; leave one of them out")
        found["temperature"] = 0.0
    return found
