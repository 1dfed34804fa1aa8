"""The `ascendlite` command: one module a subcommand, each with `add_parser` and `run`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ascendlite.errors import AscendLiteError

from . import chat, fetch, generate, info, model, npu, posttrain, train
from .text import TextError

_COMMANDS = (info, posttrain, train, generate, chat, model, fetch, npu)
_DESCRIPTION = """Tensors, autograd and training with PyTorch's names.

Try first:
  ascendlite info                      what this machine and this build are
  ascendlite posttrain                 post-train a tiny DeepSeek-V4, a few minutes, with a report
  ascendlite train                     train a small GPT on Shakespeare's plays, a few minutes
  ascendlite generate runs/gpt-1       write more text with what was trained
  ascendlite chat smollm2              converse with SmolLM2 (first: ascendlite fetch smollm2)"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ascendlite", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=_version())
    parser.add_argument("--traceback", action="store_true", help="show where an error came from")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_parser(commands).set_defaults(run=command.run)
    return parser


def _version() -> str:
    from ascendlite import __version__

    return f"ascendlite {__version__}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = _parser().parse_args(argv)
    try:
        return int(options.run(options))
    except (AscendLiteError, TextError, OSError, ImportError) as error:
        if options.traceback:
            raise
        print(f"ascendlite {options.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"ascendlite {options.command}: interrupted", file=sys.stderr)
        return 130
