"""Rotary frequencies with the scalings for long texts, and tables of cosines and sines that grow with the text."""

from __future__ import annotations

import math
from collections.abc import Callable

import ascendlite as al
from ascendlite.core import Device, Tensor

from .config import LlamaConfig, RopeScaling


def _unscaled(config: LlamaConfig) -> list[float]:
    size = config.rotary_size
    return [config.rope_theta ** (-2.0 * i / size) for i in range(size // 2)]


def _llama3(scaling: RopeScaling, found: list[float], config: LlamaConfig) -> list[float]:
    """Long waves are slowed down by the factor, short ones kept, between them a mix (Llama 3.1's model card code)."""
    made = []
    for frequency in found:
        turns = scaling.original_length * frequency / (2 * math.pi)  # over the text of pre-training
        share = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)
        kept = min(1.0, max(0.0, share))
        made.append(frequency * (kept + (1 - kept) / scaling.factor))
    return made


def _yarn(scaling: RopeScaling, found: list[float], config: LlamaConfig) -> list[float]:
    """A ramp over the dims between those that turn beta_fast and beta_slow times (YaRN, arXiv:2309.00071, section 3.2)."""
    size = config.rotary_size

    def dim(turns: float) -> float:
        return size * math.log(scaling.original_length / (turns * 2 * math.pi)) / (2 * math.log(config.rope_theta))

    low, high = max(math.floor(dim(scaling.beta_fast)), 0), min(math.ceil(dim(scaling.beta_slow)), size - 1)
    span = max(high - low, 0.001)
    made = []
    for i, frequency in enumerate(found):
        slowed = min(1.0, max(0.0, (i - low) / span))
        made.append(frequency * (1 - slowed) + frequency / scaling.factor * slowed)
    return made


_KINDS: dict[str, Callable[[RopeScaling, list[float], LlamaConfig], list[float]]] = {
    "default": lambda scaling, found, config: found,
    "linear": lambda scaling, found, config: [f / scaling.factor for f in found],
    "factors": lambda scaling, found, config: [f / g for f, g in zip(found, scaling.factors, strict=True)],
    "llama3": _llama3,
    "yarn": _yarn,
}


def frequencies(config: LlamaConfig) -> list[float]:
    """Radians a token, one for each pair of dims that turns.

    >>> frequencies(LlamaConfig(8, 4, 8, 1, 1))
    [1.0, 0.01]
    """
    return _KINDS[config.rope_scaling.kind](config.rope_scaling, _unscaled(config), config)


def amplitude(scaling: RopeScaling) -> float:
    """What cosines and sines are multiplied by: YaRN's sharpening of attention, 1 elsewhere."""
    if scaling.attention_factor is not None:
        return scaling.attention_factor
    return 0.1 * math.log(scaling.factor) + 1 if scaling.kind == "yarn" else 1.0


class RotaryTables:
    """Cosines and sines by place, float32, (places, pairs); made as far as texts go."""

    def __init__(self, config: LlamaConfig) -> None:
        self._frequencies = frequencies(config)
        self._amplitude = amplitude(config.rope_scaling)
        self._tables: dict[Device, tuple[Tensor, Tensor]] = {}

    def upto(self, places: int, device: Device) -> tuple[Tensor, Tensor]:
        """Tables of at least so many places."""
        found = self._tables.get(device)
        if found is None or found[0].shape[0] < places:
            size = max(256, 1 << (places - 1).bit_length())
            angles = al.arange(size, dtype=al.float64, device="cpu").unsqueeze(1) * al.tensor(self._frequencies, dtype=al.float64, device="cpu")
            found = tuple((table * self._amplitude).float().to(device) for table in (angles.cos(), angles.sin()))  # type: ignore[assignment]
            self._tables[device] = found  # type: ignore[assignment]
        return found  # type: ignore[return-value]
