"""`ascendlite model info`: how large a model is, and what it costs, without making it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ascendlite.models.deepseek_v4 import DeepseekV4Config
    from ascendlite.models.deepseek_v4.sizes import Flops, Sizes

_LENGTHS = tuple(1024 * k for k in (4, 8, 32, 64, 128, 256, 512, 1024))
Row = dict[str, float]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = commands.add_parser("model", help="sizes and costs of a model", description="What is known of a model without running it.")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    info = actions.add_parser(
        "info",
        help="parameters, bytes and FLOPs of a DeepSeek-V4",
        description="Parameters by part, bytes of the checkpoint and of the cache, FLOPs of a token in training and decoding.",
    )
    info.add_argument("name", help="V4-Pro, V4-Flash, small, tiny, or a folder with a config.json")
    info.add_argument("--json", action="store_true", help="print numbers for programs")
    return parser


def run(options: argparse.Namespace) -> int:
    """Print it."""
    from ascendlite.models.deepseek_v4 import config_of, load_config
    from ascendlite.models.deepseek_v4.sizes import sizes_of

    folder = Path(options.name)
    config = load_config(folder) if (folder / "config.json").is_file() else config_of(options.name)
    sizes = sizes_of(config)
    rows = [(n, _costs(config, sizes, n)) for n in _LENGTHS if n <= config.max_position_embeddings]
    rows = rows or [(config.max_position_embeddings, _costs(config, sizes, config.max_position_embeddings))]
    print(_as_json(sizes, rows) if options.json else _as_text(options.name, config, sizes, rows))
    return 0


def _costs(config: DeepseekV4Config, sizes: Sizes, length: int) -> dict[str, Flops]:
    from ascendlite.models.deepseek_v4.sizes import decode_flops, mtp_training_flops, training_flops

    return {
        "decode": decode_flops(config, sizes, length),
        "training": training_flops(config, sizes, length),
        "mtp_training": mtp_training_flops(config, sizes),
    }


def _as_json(sizes: Sizes, rows: list[tuple[int, dict[str, Flops]]]) -> str:
    from dataclasses import asdict

    return json.dumps({**asdict(sizes), "flops": {n: {name: asdict(cost) for name, cost in costs.items()} for n, costs in rows}}, indent=1)


def _scaled(value: float, digits: int = 3) -> str:
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("K", 1e3)):
        if value >= size:
            return f"{value / size:,.{digits}f} {unit}"
    return f"{value:,.0f}"


def _as_text(name: str, config: DeepseekV4Config, sizes: Sizes, rows: list[tuple[int, dict[str, Flops]]]) -> str:
    lines = [f"DeepSeek-V4, config {name}: {config.num_hidden_layers} layers, " + _layers(config), "", "parameters"]
    lines += [f"  {part:<22}{_scaled(count):>14}" for part, count in sizes.parts.items() if count]
    lines += [
        f"  {'main':<22}{_scaled(sizes.main):>14}",
        f"  {'active for a token':<22}{_scaled(sizes.active):>14}   {_scaled(sizes.active - sizes.parts['embedding'])} without the embedding",
        f"  {'MTP, apart':<22}{_scaled(sizes.mtp):>14}",
        "",
        f"checkpoint in its native formats   {sizes.checkpoint_bytes:,} bytes",
        f"cache, mixed precision             {sizes.kv_bytes:,.0f} bytes a token ({sizes.kv_bytes_bf16:,.0f} in bfloat16)",
        f"cache, whatever the length         {sizes.window_bytes:,} bytes of window and {sizes.tail_bytes:,} of float32 tails a sequence",
        "",
        "GFLOP a token        decode   = weights + attention + indexer      training   (MTP besides)",
    ]
    return "\n".join(lines + [_flops_line(n, costs) for n, costs in rows])


def _flops_line(length: int, costs: dict[str, Flops]) -> str:
    decode, training, mtp = (costs[kind] for kind in ("decode", "training", "mtp_training"))
    label = f"{length // 1024}K tokens" if length >= 1024 else f"{length} tokens"
    parts = (decode.total, decode.linear, decode.attention, decode.indexer, training.total, mtp.total)
    total, linear, attention, indexer, train, draft = (f"{value / 1e9:,.1f}" if value >= 1e8 else f"{value / 1e9:,.4f}" for value in parts)
    return f"  {label:<16}{total:>10}   {linear:>9} {attention:>11} {indexer:>9}   {train:>11}   {draft:>13}"


def _layers(config: DeepseekV4Config) -> str:
    kinds = (("window only", "window"), ("CSA", "csa"), ("HCA", "hca"))
    return ", ".join(f"{config.layers_of(kind)} {label}" for label, kind in kinds if config.layers_of(kind))
