"""`ascendlite generate`: text from a trained run or a pretrained model."""

from __future__ import annotations

import argparse
import sys

from . import sampling

_DESCRIPTION = """Go on with a text.

MODEL is a run that `ascendlite train` or `ascendlite posttrain` made (its newest good checkpoint is taken), a GGUF
file, a Hugging Face folder, or smollm2."""
_EXAMPLES = """examples:
  ascendlite generate runs/gpt-1 --prompt "ROMEO:"
  ascendlite generate smollm2 --prompt "The capital of the Philippines is" --count 20 --temperature 0
  ascendlite generate model.gguf --prompt "Once" --top-p 0.9"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = commands.add_parser(
        "generate",
        help="write text with a trained run or a model",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help="such as runs/gpt-1, model.gguf, a folder, or smollm2")
    parser.add_argument("--prompt", default="\n", help="text to go on from (default: an empty line)")
    sampling.add_flags(parser, temperature=0.8, count=500, count_flag="--count")
    return parser


def run(options: argparse.Namespace) -> int:
    """Write it, as it comes."""
    sampling.check_flags(options, "generate")
    from ascendlite.generation import stream

    from .opened import open_model

    opened = open_model(options.model, dtype=options.dtype, device=options.device, adapter=options.adapter)
    written = stream(
        opened.model,
        options.prompt,
        tokenizer=opened.codec,
        max_new_tokens=options.count,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        min_p=options.min_p,
        repetition_penalty=options.repetition_penalty,
        stop=tuple(options.stop),
        stop_tokens=opened.stop_tokens,
        seed=options.seed,
        speculate=options.speculate,
        overflow="slide",
    )
    sys.stdout.write(options.prompt)
    for token in written:
        sys.stdout.write(token.text)
        sys.stdout.flush()
    sys.stdout.write("\n")
    return 0
