"""`ascendlite npu ...`: the emulated Ascend device from the command line. Each subcommand is a row of `_COMMANDS`."""

from __future__ import annotations

import argparse
import runpy
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


def _file_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a Python file that launches kernels")
    rest = parser.add_argument("arguments", nargs="*", help="arguments of the file")
    rest.required = False  # else a call without a file would be told that both are missing


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    _file_arguments(parser)
    parser.add_argument("--chip", default=None, help="chip to check for (default: that of the device)")
    parser.add_argument("--syncs", action="store_true", help="also say which flags and barriers are not needed")
    parser.add_argument("--timeout", type=float, default=120.0, metavar="SECONDS", help="end a file whose Python does not (default: 120)")


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
        with on_chip(options.chip) if options.chip else nullcontext(), proof.launches_ask(launch), _within(getattr(options, "timeout", 0.0)):
            runpy.run_path(str(path), run_name="__main__")
    except SystemExit as end:
        return "" if not end.code else f"the file ended with exit code {end.code}"
    except Exception as error:
        if isinstance(error, KernelError) and error.site is not None:
            return str(error)
        return _at_line(error, str(path))
    finally:
        sys.argv = arguments
    return ""


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Ends Python code that runs longer, with TimeoutError where it is."""

    def end(signum: int, frame: object) -> None:
        raise TimeoutError(f"still running after {seconds:g} s: does a loop of Python not end? (--timeout SECONDS gives it more)")

    if seconds <= 0 or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _at_line(error: Exception, file: str) -> str:
    """An error of the file's own Python, at the line of the file that was running."""
    from ascendlite.errors import AscendLiteError
    from ascendlite.npu.errors import Site, render

    exception = traceback.TracebackException.from_exception(error)
    lines = [frame.lineno for frame in exception.stack if frame.filename == file and frame.lineno]
    if isinstance(error, SyntaxError) and error.filename == file and error.lineno:
        lines = [error.lineno]
    text = str(error) if isinstance(error, AscendLiteError) else list(exception.format_exception_only())[-1].strip()
    return render("python", text, ((Site(file, lines[-1]), ""),) if lines else ())


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
        return seen[key].clean and seen[key].instructions > 0

    failed = _run_file(options, launch)
    if not seen and not failed:
        failed = f"{options.file} launches no kernel, so nothing was checked; call one, as kernel[blocks](tensors, ...)"
    if failed:
        print(failed, file=sys.stderr)
    broken = sum(not r.clean for r in seen.values())
    stopped = "; the file stopped before its end" if failed and seen else ""
    unproved = sum(r.clean and not r.proved for r in seen.values())
    print(f"{len(seen)} kernel program{'s' * (len(seen) != 1)} checked: {len(seen) - broken - unproved} proved, {unproved} not proved, {broken} with errors{stopped}")
    return 1 if broken or failed else 0


def _print_redundant(traced: Any, sharing: Any) -> None:
    from ascendlite.npu import mutation

    groups = mutation.redundant(traced, sharing)
    print("   not needed: " + ("; ".join(g.name for g in groups) or "none"), end="\n\n")


def _profile_arguments(parser: argparse.ArgumentParser) -> None:
    _file_arguments(parser)
    parser.add_argument("--chip", default=None, help="chip to time for (default: that of the device)")
    parser.add_argument("--out", type=Path, default=None, help="folder for pictures: NAME.html, NAME.png, NAME.json (opens in ui.perfetto.dev)")


def _profile(options: argparse.Namespace) -> int:
    """Runs the file; says of every kernel program how long it takes, what bounds it and what would help."""
    from ascendlite.npu import proof
    from ascendlite.npu.timeline import timed

    seen: dict[int, Any] = {}
    broken: dict[tuple[int, Any], Any] = {}

    def launch(traced: Any, sharing: Any) -> bool:
        found = proof.proof(traced, sharing)
        if not found.clean and (id(traced), sharing) not in broken:
            broken[id(traced), sharing] = found
            print(f"{found}\n   not timed and not run: it breaks a rule", end="\n\n")
        if found.clean and id(traced) not in seen:
            seen[id(traced)] = traced
            timeline = timed(traced)
            print(timeline.report(), end="\n\n")
            if options.out is not None:
                _pictures(timeline, options.out, len(seen))
        return bool(found.clean)

    failed = _run_file(options, launch)
    if not seen and not broken and not failed:
        failed = f"{options.file} launches no kernel, so nothing was timed; call one, as kernel[blocks](tensors, ...)"
    if failed:
        print(failed, file=sys.stderr)
    return 1 if failed or broken else 0


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
