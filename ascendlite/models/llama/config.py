"""What a model of the Llama family is made of, by the names of Hugging Face's config.json, checked where it is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from ascendlite.errors import ArgumentError

_SCALINGS = ("default", "linear", "llama3", "yarn", "factors")


@dataclass(frozen=True)
class RopeScaling:
    """How rotary frequencies are changed for texts longer than those of pre-training; `rope.frequencies` has the formulas."""

    kind: str = "default"
    factor: float = 1.0
    original_length: int = 0  # of pre-training, tokens
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float | None = None
    factors: tuple[float, ...] = ()  # one a frequency, by which it is divided

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", tuple(self.factors))
        if self.kind not in _SCALINGS:
            raise ArgumentError(f"rope scaling: {self.kind!r} is unknown; known: {', '.join(_SCALINGS)}")
        if self.kind in ("linear", "llama3", "yarn") and not self.factor >= 1:
            raise ArgumentError(f"rope scaling {self.kind}: factor is {self.factor}; it must be at least 1")
        if self.kind in ("llama3", "yarn") and self.original_length < 1:
            raise ArgumentError(f"rope scaling {self.kind}: the length of pre-training is {self.original_length}; it must be at least 1")
        if self.kind == "llama3" and not 0 < self.low_freq_factor < self.high_freq_factor:
            raise ArgumentError(
                f"rope scaling llama3: low_freq_factor {self.low_freq_factor} must be above 0 and below high_freq_factor {self.high_freq_factor}"
            )


@dataclass(frozen=True)
class LlamaConfig:
    """Sizes and choices. `attention_bias`: q, k, v have biases; `output_bias`: o too; `qk_norm`: q and k are normed a head (Qwen3).

    >>> LlamaConfig(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4).head_size
    8
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    rope_scaling: RopeScaling = RopeScaling()
    rotary_share: float = 1.0
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    initializer_range: float = 0.02

    def __post_init__(self) -> None:
        if isinstance(self.rope_scaling, dict):  # of a state_dict
            object.__setattr__(self, "rope_scaling", RopeScaling(**self.rope_scaling))
        sizes = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings")
        for name in (*sizes, *(n for n in ("num_key_value_heads", "head_dim") if getattr(self, n) is not None)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ArgumentError(f"LlamaConfig: {name} is {value!r}; it must be a positive integer")
        heads, groups = self.num_attention_heads, self.key_value_heads
        if heads % groups:
            raise ArgumentError(f"LlamaConfig: num_attention_heads {heads} is not a multiple of num_key_value_heads {groups}")
        if self.head_dim is None and self.hidden_size % heads:
            raise ArgumentError(f"LlamaConfig: hidden_size {self.hidden_size} is not a multiple of num_attention_heads {heads}; give head_dim")
        if self.rotary_size % 2 or not 0 < self.rotary_size <= self.head_size:
            raise ArgumentError(f"LlamaConfig: {self.rotary_size} of a head's {self.head_size} dims would turn; the number must be even")
        factors = self.rope_scaling.factors
        if self.rope_scaling.kind == "factors" and len(factors) != self.rotary_size // 2:
            raise ArgumentError(f"LlamaConfig: {len(factors)} rope factors for {self.rotary_size // 2} frequencies; there must be one each")
        for name in ("rms_norm_eps", "rope_theta"):
            if not getattr(self, name) > 0:
                raise ArgumentError(f"LlamaConfig: {name} is {getattr(self, name)!r}; it must be above 0")

    def state_dict(self) -> dict[str, object]:
        """The values, to make the config again with `LlamaConfig(**values)`."""
        return asdict(self)

    @property
    def key_value_heads(self) -> int:
        """Heads of keys and values; each serves `num_attention_heads / key_value_heads` heads of queries."""
        return self.num_attention_heads if self.num_key_value_heads is None else self.num_key_value_heads

    @property
    def head_size(self) -> int:
        """The width of one head."""
        return self.head_dim if self.head_dim is not None else self.hidden_size // self.num_attention_heads

    @property
    def rotary_size(self) -> int:
        """How many dims of a head are turned."""
        return int(self.head_size * self.rotary_share)


# ---- config.json

# What differs by model_type. Qwen2's biases are not in its config; Qwen3's norms neither.
_KINDS: dict[str, dict[str, bool]] = {
    "llama": {},
    "mistral": {},
    "qwen2": {"attention_bias": True},
    "qwen3": {"qk_norm": True},
}
_PLAIN = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
    "max_position_embeddings", "rms_norm_eps", "rope_theta", "tie_word_embeddings", "mlp_bias", "initializer_range",
)  # fmt: skip
_NEEDED = _PLAIN[:5]
_MEANT = {"hidden_act": "silu", "pretraining_tp": 1}  # other values would mean another model


def config_from_hf(raw: Mapping[str, object], source: str = "config.json") -> LlamaConfig:
    """The config of a Hugging Face config.json of model_type llama, mistral, qwen2 or qwen3, in the dialects of transformers 4 and 5.

    Of a model with a sliding window, texts up to the window are taken, for which the window changes nothing.
    """
    kind = raw.get("model_type")
    if kind not in _KINDS:
        raise ArgumentError(f"{source}: model_type is {kind!r}; the Llama family has {', '.join(_KINDS)}")
    missing = [name for name in _NEEDED if name not in raw]
    if missing:
        raise ArgumentError(f"{source}: {', '.join(missing)} is missing")
    for name, meant in _MEANT.items():
        if raw.get(name, meant) != meant:
            raise ArgumentError(f"{source}: {name} is {raw[name]!r}; only {meant!r} is supported")
    values: dict[str, object] = {name: raw[name] for name in _PLAIN if raw.get(name) is not None}
    if raw.get("attention_bias"):
        values |= {"attention_bias": True, "output_bias": True}
    rope = _mapping(raw, "rope_parameters", source) or _mapping(raw, "rope_scaling", source)
    if "rope_theta" in rope:
        values["rope_theta"] = rope["rope_theta"]
    share = raw.get("partial_rotary_factor", rope.get("partial_rotary_factor"))
    if share is not None:
        values["rotary_share"] = share
    values |= _KINDS[str(kind)]
    window = _window(raw, str(kind))
    if window is not None:
        values["max_position_embeddings"] = min(int(values.get("max_position_embeddings", window)), window)  # type: ignore[call-overload]
    try:
        values["rope_scaling"] = _scaling(rope, raw)
        return LlamaConfig(**values)  # type: ignore[arg-type]
    except (ArgumentError, TypeError, ValueError) as error:
        raise ArgumentError(f"{source}: {error}") from error


def _mapping(raw: Mapping[str, object], name: str, source: str) -> Mapping[str, object]:
    value = raw.get(name) or {}
    if not isinstance(value, Mapping):
        raise ArgumentError(f"{source}: {name} is {value!r}; it must be an object")
    return value


def _window(raw: Mapping[str, object], kind: str) -> int | None:
    used = raw.get("use_sliding_window", kind == "mistral")
    window = raw.get("sliding_window")
    return int(window) if used and isinstance(window, int) else None


def _scaling(rope: Mapping[str, object], raw: Mapping[str, object]) -> RopeScaling:
    kind = str(rope.get("rope_type", rope.get("type", "default")))
    names = ("factor", "low_freq_factor", "high_freq_factor", "beta_fast", "beta_slow", "attention_factor")
    values: dict[str, float] = {name: float(rope[name]) for name in names if rope.get(name) is not None}  # type: ignore[arg-type]
    length = rope.get("original_max_position_embeddings", raw.get("original_max_position_embeddings"))
    if length is None and kind in ("llama3", "yarn"):
        length = raw.get("max_position_embeddings", 0)
    if "mscale" in rope or "mscale_all_dim" in rope:
        raise ArgumentError("rope scaling: mscale is of the DeepSeek models; give attention_factor")
    return RopeScaling(kind, original_length=int(length or 0), **values)  # type: ignore[arg-type, call-overload]


def config_to_hf(config: LlamaConfig) -> dict[str, object]:
    """A config.json that describes the model, in the words of transformers."""
    kind = "qwen3" if config.qk_norm else "qwen2" if config.attention_bias and not config.output_bias else "llama"
    raw: dict[str, object] = {name: value for name, value in asdict(config).items() if name in _PLAIN and value is not None}
    raw |= {"model_type": kind, "architectures": [_ARCHITECTURES[kind]], "hidden_act": "silu"}
    raw["num_key_value_heads"] = config.key_value_heads
    if kind != "qwen2":
        raw["attention_bias"] = config.attention_bias
    if config.rope_scaling.kind == "factors":
        raise ArgumentError("save_hf: config.json has no words for rope factors of a GGUF file; name the scaling that they came from")
    scaling, made = config.rope_scaling, {}
    if scaling.kind != "default":
        made = {"rope_type": scaling.kind, "factor": scaling.factor, "original_max_position_embeddings": scaling.original_length}
        made |= {name: getattr(scaling, name) for name in _OF_SCALING[scaling.kind] if getattr(scaling, name) is not None}
        raw["rope_scaling"] = made
    if config.rotary_share != 1:
        raw["partial_rotary_factor"] = config.rotary_share
    return raw


_ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
_OF_SCALING = {
    "linear": (),
    "llama3": ("low_freq_factor", "high_freq_factor"),
    "yarn": ("beta_fast", "beta_slow", "attention_factor"),
}
