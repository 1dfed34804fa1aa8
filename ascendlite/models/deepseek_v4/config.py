"""What a DeepSeek-V4 is made of: the published sizes, tiny ones with every mechanism, and checks where a config is written.

The names are those of the published config.json. `compress_ratios` says what each layer attends to besides its window: 0 nothing,
`csa_ratio` the chosen ones of overlapping small blocks (CSA), any other number all blocks of that many tokens (HCA).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace

from ascendlite.errors import ArgumentError

WINDOW, CSA, HCA = "window", "csa", "hca"


@dataclass(frozen=True)
class DeepseekV4Config:
    """Sizes and choices of a DeepSeek-V4; the defaults are V4-Flash's.

    >>> CONFIGS["V4-Pro"].layer_kind(2)
    'csa'
    """

    vocab_size: int = 129280
    hidden_size: int = 4096
    num_hidden_layers: int = 43
    num_attention_heads: int = 64
    head_dim: int = 512
    qk_rope_head_dim: int = 64
    q_lora_rank: int = 1024
    o_groups: int = 8
    o_lora_rank: int = 1024
    compress_ratios: tuple[int, ...] = (0, 0, *(4, 128) * 20, 4)
    csa_ratio: int = 4
    sliding_window: int = 128
    index_n_heads: int = 64
    index_head_dim: int = 128
    index_topk: int = 512
    n_routed_experts: int = 256
    n_shared_experts: int = 1
    num_experts_per_tok: int = 6
    moe_intermediate_size: int = 2048
    routed_scaling_factor: float = 1.5
    num_hash_layers: int = 3
    swiglu_limit: float = 10.0
    hc_mult: int = 4
    hc_sinkhorn_iters: int = 20
    hc_eps: float = 1e-6
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    compress_rope_theta: float = 160000.0
    rope_factor: float = 16.0
    rope_original_length: int = 65536
    rope_beta_fast: float = 32.0
    rope_beta_slow: float = 1.0
    max_position_embeddings: int = 1048576
    num_nextn_predict_layers: int = 1
    initializer_range: float = 0.02
    expert_dtype: str = "fp4"
    bos_token_id: int = 0
    eos_token_id: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "compress_ratios", tuple(self.compress_ratios))
        self._check_counts()
        self._check_attention()
        if self.num_experts_per_tok > self.n_routed_experts:
            raise ArgumentError(
                f"DeepseekV4Config: num_experts_per_tok {self.num_experts_per_tok} is more than the {self.n_routed_experts} routed experts"
            )
        if self.expert_dtype not in ("fp4", "fp8"):
            raise ArgumentError(f"DeepseekV4Config: expert_dtype is {self.expert_dtype!r}; it must be fp4 or fp8")

    def _check_counts(self) -> None:
        may_be_zero = {"num_hash_layers", "num_nextn_predict_layers", "n_shared_experts", "bos_token_id", "eos_token_id"}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "int" and (not isinstance(value, int) or value < (0 if field.name in may_be_zero else 1)):
                raise ArgumentError(f"DeepseekV4Config: {field.name} is {value!r}; it must be a positive integer")
            if field.type == "float" and not (isinstance(value, (int, float)) and value > 0):
                raise ArgumentError(f"DeepseekV4Config: {field.name} is {value!r}; it must be a positive number")
        if self.num_nextn_predict_layers > 1:
            raise ArgumentError(f"DeepseekV4Config: num_nextn_predict_layers is {self.num_nextn_predict_layers}; 0 and 1 are known")

    def _check_attention(self) -> None:
        if len(self.compress_ratios) != self.num_hidden_layers or any(r < 0 for r in self.compress_ratios):
            raise ArgumentError(
                f"DeepseekV4Config: compress_ratios are {list(self.compress_ratios)} for num_hidden_layers {self.num_hidden_layers}; "
                "give one number that is at least 0 for each layer"
            )
        for name, head in (("head_dim", self.head_dim), ("index_head_dim", self.index_head_dim)):
            if self.qk_rope_head_dim % 2 or head % 2 or self.qk_rope_head_dim > head:
                raise ArgumentError(f"DeepseekV4Config: qk_rope_head_dim {self.qk_rope_head_dim} must be even and fit in {name} {head}")
        if self.num_attention_heads % self.o_groups:
            raise ArgumentError(
                f"DeepseekV4Config: num_attention_heads {self.num_attention_heads} is not a multiple of o_groups {self.o_groups}"
            )

    def layer_kind(self, layer: int) -> str:
        """"window", "csa" or "hca"; the layer behind the last is that of MTP."""
        ratio = self.layer_ratio(layer)
        return WINDOW if ratio == 0 else CSA if ratio == self.csa_ratio else HCA

    def layer_ratio(self, layer: int) -> int:
        """How many tokens a compressed entry of the layer stands for; 0: the layer has none."""
        return self.compress_ratios[layer] if layer < self.num_hidden_layers else 0

    def layers_of(self, kind: str) -> int:
        """How many layers of the trunk are of a kind."""
        return sum(self.layer_kind(i) == kind for i in range(self.num_hidden_layers))

    def state_dict(self) -> dict[str, int | float | str | tuple[int, ...]]:
        """The values, to make the config again with `DeepseekV4Config(**values)`."""
        return asdict(self)


_FLASH = DeepseekV4Config()
_PRO = replace(
    _FLASH,
    hidden_size=7168,
    num_hidden_layers=61,
    num_attention_heads=128,
    q_lora_rank=1536,
    o_groups=16,
    compress_ratios=(128, 128, *(4, 128) * 29, 4),
    index_topk=1024,
    n_routed_experts=384,
    moe_intermediate_size=3072,
    routed_scaling_factor=2.5,
)
# The sizes of the parity tests: every mechanism within a few hundred thousand numbers.
_TINY = DeepseekV4Config(
    vocab_size=256, hidden_size=64, num_hidden_layers=4, num_attention_heads=4, head_dim=32, qk_rope_head_dim=8, q_lora_rank=32,
    o_groups=2, o_lora_rank=16, compress_ratios=(0, 16, 4, 4), sliding_window=8, index_n_heads=4, index_head_dim=16, index_topk=4,
    n_routed_experts=8, num_experts_per_tok=2, moe_intermediate_size=32, routed_scaling_factor=2.5, num_hash_layers=1,
    rope_original_length=64, max_position_embeddings=1024,
)  # fmt: skip
# A few million numbers, for training on a laptop.
_SMALL = replace(
    _TINY, sliding_window=16, vocab_size=512, hidden_size=128, num_hidden_layers=6, num_attention_heads=8, head_dim=64, qk_rope_head_dim=16, q_lora_rank=64,
    o_lora_rank=64, compress_ratios=(0, 16, 4, 16, 4, 4), index_head_dim=32, index_topk=16, n_routed_experts=16, moe_intermediate_size=64,
    max_position_embeddings=4096, rope_original_length=256,
)  # fmt: skip

CONFIGS = {"V4-Pro": _PRO, "V4-Flash": _FLASH, "tiny": _TINY, "small": _SMALL}


def config_of(name: str) -> DeepseekV4Config:
    """A config by name, whatever its letters' case."""
    known = {key.lower(): value for key, value in CONFIGS.items()}
    if name.lower() not in known:
        raise ArgumentError(f"deepseek_v4: there is no config {name!r}; known: {', '.join(CONFIGS)}")
    return known[name.lower()]
