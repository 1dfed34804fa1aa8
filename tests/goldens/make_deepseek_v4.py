"""Makes deepseek_v4.npz with transformers >= 5.8 and torch: logits and gradients of a tiny DeepSeek-V4 in float32; and
deepseek_v4_keys.json: names and shapes of its modules' weights and of those that save_pretrained writes, with its config.json.

python tests/goldens/make_deepseek_v4.py
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from deepseek_v4_inputs import HF_CONFIG, digest, tokens, weight
from safetensors import safe_open
from transformers import DeepseekV4Config, DeepseekV4ForCausalLM
from transformers import __version__ as transformers_version


def model(topk: int) -> DeepseekV4ForCausalLM:
    config = DeepseekV4Config(**{**HF_CONFIG, "index_topk": topk})
    config._attn_implementation = "eager"
    made = DeepseekV4ForCausalLM(config).eval()
    with torch.no_grad():
        for name, t in made.state_dict().items():
            t.copy_(torch.from_numpy(weight(name, tuple(t.shape))))
    return made


def index_gap(made: DeepseekV4ForCausalLM, ids: torch.Tensor, topk: int) -> float:
    """The least distance between a chosen index score and one that was not chosen."""
    gaps: list[float] = []

    def watch(_module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], scores: torch.Tensor) -> None:
        for t in range(scores.shape[1]):
            seen = scores[:, t, : (t + 1) // 4].sort(-1, descending=True).values
            if seen.shape[1] > topk:
                gaps.append(float((seen[:, topk - 1] - seen[:, topk]).min()))

    hooks = [m.register_forward_hook(watch) for n, m in made.named_modules() if n.endswith("indexer.scorer")]
    with torch.no_grad():
        made(ids)
    for hook in hooks:
        hook.remove()
    return min(gaps)


def case(out: dict[str, np.ndarray], prefix: str, topk: int, seed: str) -> None:
    made = model(topk)
    ids, targets = (torch.from_numpy(tokens(f"{seed} {what}")) for what in ("ids", "targets"))
    logits = made(ids).logits
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))
    loss.backward()
    out[prefix + "seed"] = np.array(seed)
    out[prefix + "logits"] = logits.detach().numpy()[:, :, ::4]
    out[prefix + "loss"] = np.array(loss.item())
    for name, p in made.named_parameters():
        if p.grad is not None:
            out[f"{prefix}grad/{name}"] = digest(name, p.grad.numpy()).astype(np.float32)
            out[f"{prefix}norm/{name}"] = np.array(p.grad.norm().item())


def write_keys(made: DeepseekV4ForCausalLM) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made.save_pretrained(folder)
        with safe_open(Path(folder, "model.safetensors"), "pt") as file:
            saved = {key: file.get_slice(key).get_shape() for key in sorted(file.keys())}
        config = json.loads(Path(folder, "config.json").read_text())
    modules = {name: list(t.shape) for name, t in sorted(made.state_dict().items())}
    keys = {"modules": modules, "saved": saved, "config": config}
    Path(__file__).with_name("deepseek_v4_keys.json").write_text(json.dumps(keys) + "\n")


def main() -> None:
    out: dict[str, np.ndarray] = {}
    write_keys(model(4))
    seed = max((f"tokens {i}" for i in range(60)), key=lambda s: index_gap(model(4), torch.from_numpy(tokens(s + " ids")), 4))
    gap = index_gap(model(4), torch.from_numpy(tokens(seed + " ids")), 4)
    case(out, "all/", 32, seed)
    case(out, "top4/", 4, seed)
    out["gap"], out["transformers"], out["torch"] = np.array(gap), np.array(transformers_version), np.array(torch.__version__)
    target = Path(__file__).with_name("deepseek_v4.npz")
    np.savez_compressed(target, **out)
    print(f"{target}: {target.stat().st_size} bytes, gap {gap:.2g}, losses {out['all/loss']:.4f} and {out['top4/loss']:.4f}")


if __name__ == "__main__":
    main()
