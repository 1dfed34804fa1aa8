"""`ascendlite generate`: text from a trained run."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = commands.add_parser(
        "generate",
        help="write text with a trained run",
        description="Write text with the newest checkpoint of a run that `ascendlite train` made.",
    )
    parser.add_argument("run_folder", type=Path, metavar="FOLDER", help="the run, such as runs/gpt-1")
    parser.add_argument("--prompt", default="\n", help="text to go on from")
    parser.add_argument("--count", type=int, default=500, metavar="N", help="tokens to write (default: 500)")
    parser.add_argument("--temperature", type=float, default=0.8, metavar="X", help="0 takes the likeliest, 1 draws as learned (default: 0.8)")
    parser.add_argument("--top-k", type=int, metavar="N", help="draw among the N likeliest only")
    parser.add_argument("--seed", type=int, default=0, help="the same seed writes the same text (default: 0)")
    return parser


def run(options: argparse.Namespace) -> int:
    """Write it."""
    from .run import saved_model, write_text

    model, tokenizer, _ = saved_model(options.run_folder)
    print(
        write_text(
            model,
            tokenizer,
            options.prompt,
            options.count,
            temperature=options.temperature,
            top_k=options.top_k,
            seed=options.seed,
        )
    )
    return 0
