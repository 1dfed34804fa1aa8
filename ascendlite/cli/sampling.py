"""The flags of `chat` and `generate` that say how tokens are chosen."""

from __future__ import annotations

import argparse
from pathlib import Path

from ascendlite.errors import ArgumentError

_DTYPES = ("float32", "bfloat16", "float16")


def add_flags(parser: argparse.ArgumentParser, *, temperature: float, count: int, count_flag: str) -> None:
    """Add them, with these defaults."""
    choice = parser.add_argument_group("how tokens are chosen")
    choice.add_argument(count_flag, type=int, default=count, metavar="N", help=f"most tokens to write (default: {count})")
    choice.add_argument("--temperature", type=float, default=temperature, metavar="X", help=f"0 takes the likeliest, 1 draws as learned (default: {temperature})")
    choice.add_argument("--top-k", type=int, metavar="N", help="draw among the N likeliest only")
    choice.add_argument("--top-p", type=float, metavar="P", help="draw among the likeliest that together have this probability")
    choice.add_argument("--min-p", type=float, metavar="P", help="leave out what is less likely than this share of the likeliest")
    choice.add_argument("--repetition-penalty", type=float, default=1.0, metavar="X", help="above 1: what was there before is less likely (default: 1)")
    choice.add_argument("--stop", action="append", default=[], metavar="TEXT", help="end before this text; may be given several times")
    choice.add_argument("--seed", type=int, default=0, help="the same seed writes the same text (default: 0)")
    choice.add_argument("--speculate", action="store_true", help="let a model's MTP layer guess ahead: the same text in fewer passes")
    parser.add_argument("--adapter", type=Path, metavar="FOLDER", help="LoRA weights for the model, in PEFT's files")
    place = parser.add_argument_group("where")
    place.add_argument("--device", default="cpu", metavar="NAME", help="where to compute (default: cpu)")
    place.add_argument("--dtype", choices=_DTYPES, help="what weights are kept in (default: the file's; float32 for quantised ones)")


def check_flags(options: argparse.Namespace, command: str) -> None:
    """Refuse what the sampler would refuse, before the model is loaded."""
    from ascendlite.generation import GenerationConfig

    try:
        GenerationConfig(
            temperature=options.temperature,
            top_k=options.top_k,
            top_p=options.top_p,
            min_p=options.min_p,
            repetition_penalty=options.repetition_penalty,
            stop=tuple(options.stop),
        )
    except ArgumentError as error:
        name, _, rest = str(error).removeprefix("generate: ").partition(" ")
        raise ArgumentError(f"{command}: --{name.replace('_', '-')} {rest}") from error
