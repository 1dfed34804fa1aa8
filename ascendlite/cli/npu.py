"""`ascendlite npu ...`: the emulated Ascend device from the command line. Each subcommand is a row of `_COMMANDS`."""

from __future__ import annotations

import argparse
import runpy
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ascendlite.errors import FileFormatError


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Describe the command and its subcommands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "npu", help="check, time and profile kernels for the Ascend device", description="Work with kernels for the emulated Ascend device."
    )
    group = parser.add_subparsers(title="commands", dest="npu_command", metavar="COMMAND", required=True)
    for name, command in _COMMANDS.items():
        one = group.add_parser(name, help=command.help, description=command.description)
        command.arguments(one)
        one.set_defaults(npu_run=command.run)
    return parser


def run(options: argparse.Namespace) -> int:
    """Run the subcommand."""
    return int(options.npu_run(options))


@dataclass(frozen=True)
class _Command:
    help: str
    description: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a Python file that launches kernels")
    parser.add_argument("--chip", default=None, help="chip to check for (default: that of the device)")
    parser.add_argument("--syncs", action="store_true", help="also say which flags and barriers are not needed")
    parser.add_argument("arguments", nargs="*", help="arguments of the file")


def _run_file(options: argparse.Namespace, launch: Callable[[Any, Any], bool]) -> str:
    """Runs the file with every kernel launch asked about; returns what went wrong in it."""
    from contextlib import nullcontext

    from ascendlite.npu import proof
    from ascendlite.npu.programs import KernelError, on_chip

    path: Path = options.file
    if not path.is_file():
        raise FileFormatError(f"npu {options.npu_command}: there is no file {path}; give a Python file that launches kernels")
    arguments, sys.argv = sys.argv, [str(path), *options.arguments]
    try:
        with on_chip(options.chip) if options.chip else nullcontext(), proof.launches_ask(launch):
            runpy.run_path(str(path), run_name="__main__")
    except KernelError as error:
        return str(error)
    except SystemExit as end:
        return "" if not end.code else f"the file ended with exit code {end.code}"
    except Exception:  # the file's own error: shown as Python would, after what was found
        return traceback.format_exc(limit=-4)
    finally:
        sys.argv = arguments
    return ""


def _check(options: argparse.Namespace) -> int:
    """Runs the file; every launch is checked, and runs only if it is clean."""
    from ascendlite.npu import checker, proof

    seen: dict[tuple[int, checker.Sharing], checker.CheckResult] = {}

    def launch(traced: proof.Launchable, sharing: checker.Sharing) -> bool:
        key = (id(traced), sharing)
        if key not in seen:
            seen[key] = checker.check(traced, sharing)
            print(seen[key], end="\n\n")
            if options.syncs and seen[key].clean:
                _print_redundant(traced, sharing)
        return seen[key].clean

    failed = _run_file(options, launch)
    if failed:
        print(failed, file=sys.stderr)
    broken = sum(not r.clean for r in seen.values())
    unproved = sum(r.clean and not r.proved for r in seen.values())
    print(f"{len(seen)} kernel program{'s' * (len(seen) != 1)} checked: {len(seen) - broken - unproved} proved, {unproved} not proved, {broken} with errors")
    return 1 if broken or failed else 0


def _print_redundant(traced: Any, sharing: Any) -> None:
    from ascendlite.npu import mutation

    groups = mutation.redundant(traced, sharing)
    print("   not needed: " + ("; ".join(g.name for g in groups) or "none"), end="\n\n")


def _profile_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a Python file that launches kernels")
    parser.add_argument("--chip", default=None, help="chip to time for (default: that of the device)")
    parser.add_argument("--out", type=Path, default=None, help="folder for pictures: NAME.html, NAME.png, NAME.json (opens in ui.perfetto.dev)")
    parser.add_argument("arguments", nargs="*", help="arguments of the file")


def _profile(options: argparse.Namespace) -> int:
    """Runs the file; says of every kernel program how long it takes, what bounds it and what would help."""
    from ascendlite.npu import proof
    from ascendlite.npu.timeline import timed

    seen: dict[int, Any] = {}

    def launch(traced: Any, sharing: Any) -> bool:
        clean = proof.proof(traced, sharing).clean
        if id(traced) not in seen:
            seen[id(traced)] = traced
            timeline = timed(traced)
            print(timeline.report(), end="\n\n")
            if options.out is not None:
                _pictures(timeline, options.out, len(seen))
        return clean

    failed = _run_file(options, launch)
    if failed:
        print(failed, file=sys.stderr)
    return 1 if failed else 0


def _pictures(timeline: Any, folder: Path, number: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"{number}-{timeline.program.name}"
    for write, ending in ((timeline.html, "html"), (timeline.png, "png"), (timeline.perfetto, "json")):
        write(f"{stem}.{ending}")
    print(f"  pictures: {stem}.html, .png, .json", end="\n\n")


def _calibrate(options: argparse.Namespace) -> int:
    """Prints the clock against every published measurement that its constants may be fitted on."""
    from ascendlite.npu import calibration

    print(calibration.report())
    return 0


def _ops(options: argparse.Namespace) -> int:
    """Prints where each op runs."""
    from ascendlite.npu import coverage

    print(coverage.text())
    return 0


def _smi(options: argparse.Namespace) -> int:
    """Prints the dies."""
    from ascendlite.npu.runtime.device import smi

    print(smi())
    return 0


_COMMANDS = {
    "check": _Command(
        "prove the kernels of a file free of hazards",
        "Run FILE with every kernel launch checked first. A launch runs only if no rule is broken. Exit code 1 if one is.",
        _check_arguments,
        _check,
    ),
    "profile": _Command(
        "say how long the kernels of a file take, and why",
        "Run FILE; of every kernel program: pipes, roofs, the line that waits longest, and advice with what it would bring.",
        _profile_arguments,
        _profile,
    ),
    "calibrate": _Command(
        "print the clock's error on every published measurement",
        "Times the published measurements that constants may be fitted on: measured, modelled, error, gate.",
        lambda parser: None,
        _calibrate,
    ),
    "ops": _Command(
        "list where each op runs: a kernel, other ops, or the card's own CPU",
        "The op table's column for the NPU.",
        lambda parser: None,
        _ops,
    ),
    "smi": _Command("show the dies and their memory", "The dies in the shape of npu-smi.", lambda parser: None, _smi),
}
