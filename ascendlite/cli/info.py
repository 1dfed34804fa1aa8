"""`ascendlite info`: what this machine and this build are."""

from __future__ import annotations

import argparse


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Describe the command."""
    return commands.add_parser(
        "info",
        help="versions, build, instruction sets, threads, memory and devices",
        description="Print versions, build, instruction sets, threads, memory and devices: what a bug report needs.",
    )


def run(options: argparse.Namespace) -> int:
    """Print it."""
    from ascendlite import info

    print(info.report())
    return 0
