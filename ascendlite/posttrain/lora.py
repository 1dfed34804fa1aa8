"""LoRA: a low-rank change beside frozen linear layers (arXiv:2106.09685), and its files in the form that PEFT reads.

W' = W + scale B A with A (rank, in), B (out, rank), scale = alpha / rank, or alpha / sqrt(rank) for rsLoRA (2312.03732).
B starts at zero, so a model with fresh LoRA is the model without, bit for bit.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ascendlite import nn
from ascendlite.core import Tensor, no_grad
from ascendlite.errors import ArgumentError, FileFormatError
from ascendlite.files import replacing
from ascendlite.nn import functional as F
from ascendlite.serialize import load, save

ALL_LINEAR = "all-linear"
_WEIGHTS, _CONFIG, _PREFIX = "adapter_model.safetensors", "adapter_config.json", "base_model.model."


@dataclass(frozen=True)
class LoraConfig:
    """Rank and targets, by PEFT's names; a target is the last part of a layer's name, or "all-linear" but the head."""

    r: int = 8
    lora_alpha: float = 16.0
    lora_dropout: float = 0.0
    target_modules: tuple[str, ...] | str = ALL_LINEAR
    use_rslora: bool = False

    def __post_init__(self) -> None:
        if self.r < 1 or not 0.0 <= self.lora_dropout < 1.0:
            raise ArgumentError(f"LoraConfig: r is {self.r}, lora_dropout {self.lora_dropout}; r is at least 1, lora_dropout in [0, 1)")

    @property
    def scale(self) -> float:
        """What B A is multiplied by."""
        return self.lora_alpha / (math.sqrt(self.r) if self.use_rslora else self.r)


class LoraLinear(nn.Linear):
    """A linear layer whose weight stays and whose `lora_A`, `lora_B` learn; `weight` keeps its name in a state_dict."""

    def __init__(self, base: nn.Linear, config: LoraConfig) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = base.in_features, base.out_features
        self.weight, self.bias = base.weight, base.bias
        dtype, device = base.weight.dtype, base.weight.device
        self.lora_A = nn.Linear(base.in_features, config.r, False, device, dtype)
        self.lora_B = nn.Linear(config.r, base.out_features, False, device, dtype)
        nn.init.kaiming_uniform_(self.lora_A.weight, a=math.sqrt(5))
        nn.init.zeros_(self.lora_B.weight)
        self.dropout = nn.Dropout(config.lora_dropout)
        self.scale = config.scale

    def forward(self, input: Tensor) -> Tensor:
        """input W^T + bias + scale dropout(input) A^T B^T."""
        plain = F.linear(input, self.weight, self.bias)
        return plain + self.scale * cast(Tensor, self.lora_B(self.lora_A(self.dropout(input))))

    def merged(self) -> nn.Linear:
        """The plain layer with W + scale B A."""
        layer = nn.Linear(self.in_features, self.out_features, self.bias is not None, dtype=self.weight.dtype, device=self.weight.device)
        with no_grad():
            change = self.lora_B.weight.float() @ self.lora_A.weight.float() * self.scale
            layer.weight.copy_(self.weight.float() + change)
            if self.bias is not None and layer.bias is not None:
                layer.bias.copy_(self.bias)
        return layer


# ---- putting it in and taking it out


def _holders(model: nn.Module, kind: type[nn.Module]) -> Iterator[tuple[str, nn.Module, str, nn.Module]]:
    """(full name, the module that holds it, its name there, the module)."""
    for name, module in list(model.named_modules()):
        if type(module) is kind:
            above, _, last = name.rpartition(".")
            yield name, model.get_submodule(above) if above else model, last, module


def _wanted(name: str, targets: tuple[str, ...] | str) -> bool:
    last = name.rpartition(".")[2]
    if targets == ALL_LINEAR:
        return last not in ("head", "lm_head")
    if isinstance(targets, str):
        return re.fullmatch(targets, name) is not None
    return any(name == target or name.endswith("." + target) for target in targets)


def add_lora(model: nn.Module, config: LoraConfig | None = None) -> list[str]:
    """Freeze a model and give its target layers a LoRA each; returns the names of these layers.

    >>> model = al.nn.Sequential(al.nn.Linear(4, 4), al.nn.ReLU(), al.nn.Linear(4, 2))
    >>> al.posttrain.add_lora(model, al.posttrain.LoraConfig(r=2, target_modules=("2",)))
    ['2']
    >>> [name for name, p in model.named_parameters() if p.requires_grad]
    ['2.lora_A.weight', '2.lora_B.weight']
    """
    config = config or LoraConfig()
    found = [row for row in _holders(model, nn.Linear) if _wanted(row[0], config.target_modules)]
    if not found:
        known = ", ".join(sorted({row[2] for row in _holders(model, nn.Linear)})) or "none"
        raise ArgumentError(f"add_lora: no linear layer matches {config.target_modules!r}; the linear layers are called: {known}")
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for _, holder, last, module in found:
        setattr(holder, last, LoraLinear(cast(nn.Linear, module), config))
    return [row[0] for row in found]


def merge_lora(model: nn.Module) -> int:
    """Replace each LoRA layer by the plain layer that it amounts to, and let everything learn again; returns how many."""
    found = list(_holders(model, LoraLinear))
    for _, holder, last, module in found:
        setattr(holder, last, cast(LoraLinear, module).merged())
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return len(found)


def lora_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """The LoRA weights alone, by their names in the model."""
    return {name: value for name, value in model.state_dict().items() if ".lora_A." in f".{name}" or ".lora_B." in f".{name}"}


# ---- files


def save_lora(model: nn.Module, folder: str | Path, config: LoraConfig) -> None:
    """Write `adapter_model.safetensors` and `adapter_config.json`, as PEFT does."""
    state = {_PREFIX + name: value for name, value in lora_state_dict(model).items()}
    if not state:
        raise ArgumentError("save_lora: the model has no LoRA layers; call add_lora first")
    names = sorted({name.removeprefix(_PREFIX).rpartition(".lora_")[0] for name in state})
    record = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": config.r, "lora_alpha": config.lora_alpha, "lora_dropout": config.lora_dropout,
        "use_rslora": config.use_rslora, "bias": "none", "target_modules": names,
    }
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    with replacing(root / _CONFIG) as aside:
        aside.write_text(json.dumps(record, indent=2) + "\n")
    save(state, root / _WEIGHTS)


def _read_config(path: Path) -> LoraConfig:
    try:
        record = json.loads(path.read_text("utf-8"))
        targets = record["target_modules"]
        return LoraConfig(
            int(record["r"]), float(record["lora_alpha"]), float(record.get("lora_dropout", 0.0)),
            targets if isinstance(targets, str) else tuple(targets), bool(record.get("use_rslora", False)),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise FileFormatError(f"load_lora: {path} is damaged ({type(error).__name__}: {error})") from error


def load_lora(model: nn.Module, folder: str | Path) -> LoraConfig:
    """Add the LoRA of a folder to a model that has none, or fill the one it has; returns its config."""
    root = Path(folder)
    config = _read_config(root / _CONFIG)
    state = {name.removeprefix(_PREFIX): value for name, value in cast("dict[str, Tensor]", load(root / _WEIGHTS, "cpu")).items()}
    if not lora_state_dict(model):
        add_lora(model, config)
    wanted = lora_state_dict(model)
    _refuse_difference(wanted, state, root)
    with no_grad():
        for name, value in wanted.items():
            value.copy_(state[name])
    return config


def _refuse_difference(wanted: dict[str, Tensor], found: dict[str, Tensor], root: Path) -> None:
    names: Sequence[str] = sorted(set(wanted) ^ set(found))
    if names:
        side = "file" if names[0] in found else "model"
        raise ArgumentError(f"load_lora: {names[0]} is only in the {side} ({len(names)} such names); {root} belongs to another model")
    for name, value in wanted.items():
        if value.shape != found[name].shape:
            raise ArgumentError(f"load_lora: {name} is {tuple(found[name].shape)} in {root}, {tuple(value.shape)} in the model")
