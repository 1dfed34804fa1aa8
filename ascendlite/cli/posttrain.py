"""`ascendlite posttrain`: SFT, GRPO and distillation of a small model on a task with a verifier, with a report."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ascendlite.errors import ArgumentError
from ascendlite.files import replacing

_DESCRIPTION = """Post-train a language model on a task with a verifier: supervised fine-tuning on worked examples until there is something
to reward, then GRPO, then evaluation on held-out questions, chats and a report. By default a tiny DeepSeek-V4 with every
mechanism learns arithmetic in Tagalog number words."""
_EXAMPLES = """examples:
  ascendlite posttrain
  ascendlite posttrain --task chain_sum
  ascendlite posttrain --from smollm2                      LoRA on SmolLM2-135M, about twelve minutes; first:
                                                           pip install 'ascendlite[text,tasks]' && ascendlite fetch smollm2
  ascendlite posttrain --specialists 2 --distill           two specialists, distilled into one student
  ascendlite posttrain --resume runs/posttrain-1"""
_HELP = {
    "task": "what to learn: tagalog, tagalog-sums, tagalog-differences, or a generator of reasoning-gym such as chain_sum",
    "device": "where to compute",
    "seed": "of weights, questions and draws",
    "questions": "questions to learn from, at most",
    "held_out": "questions to be judged by",
    "samples": "completions of each question in pass@k",
    "start_at": "pass@k at which the learning rate of SFT begins to fall, before GRPO",
    "sft_steps": "SFT steps at most",
    "sft_batch": "examples of an SFT step",
    "sft_lr": "learning rate of SFT",
    "sft_cooling": "steps in which it falls to 0",
    "grpo_steps": "GRPO steps",
    "grpo_prompts": "prompts of a GRPO step",
    "grpo_generations": "completions of each prompt",
    "grpo_lr": "learning rate of GRPO",
    "partial_credit": "weight of the reward for being like the worked answer; being right has the weight 1",
    "dynamic_sampling": "times that groups of equal rewards are replaced by groups of other prompts",
    "loss_type": "grpo, dapo, dr_grpo, gspo or cispo",
    "beta": "weight of the KL to the model after SFT; 0: none",
    "lora_rank": "rank of LoRA, with --from",
    "distill_steps": "steps of distillation",
    "distill_lr": "learning rate of distillation",
    "distill_temperature": "of the teachers' and the student's distributions when they are compared",
    "save_every": "steps between checkpoints",
}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Describe the command."""
    from ascendlite.posttrain.job.settings import ON_NPU, PRETRAINED, SPECIALISTS, JobSettings

    parser = commands.add_parser(
        "posttrain",
        help="post-train a small model on a task with a verifier, a few minutes",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    defaults = JobSettings()
    for name, text in _HELP.items():
        value = getattr(defaults, name)
        metavar = "X" if isinstance(value, float) else "N" if isinstance(value, int) else "NAME"
        tables = (("--from", PRETRAINED), ("--device npu", ON_NPU), ("--specialists", SPECIALISTS))
        other = "".join(f"; with {option} {table[name]}" for option, table in tables if name in table)
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), metavar=metavar, help=f"{text} (default: {value}{other})")
    parser.add_argument("--from", dest="source", metavar="MODEL", help="a pretrained model to go on from with LoRA: smollm2, a GGUF file, a folder")
    parser.add_argument("--specialists", type=int, metavar="N", help="train so many specialists, each on its half of the task (2)")
    parser.add_argument("--distill", action="store_true", help="distil the specialists into one student (goes with --specialists)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where to put the run (default: runs/posttrain-1 and on)")
    parser.add_argument("--resume", type=Path, metavar="FOLDER", help="go on with the run in this folder")
    return parser


def _free_folder() -> Path:
    number = 1
    while Path("runs", f"posttrain-{number}").exists():
        number += 1
    return Path("runs", f"posttrain-{number}")


def _given(options: argparse.Namespace) -> dict[str, int | float | str]:
    names = (*_HELP, "source", "specialists")
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def run(options: argparse.Namespace) -> int:
    """Run the job, or go on with it."""
    from rich.console import Console

    from ascendlite.posttrain.job import Job, check_inputs, settings_from_state, settings_of, write_report
    from ascendlite.posttrain.job.run import Stopped

    given = _given(options)
    if options.distill != bool(given.get("specialists")) and options.resume is None:
        raise ArgumentError("--distill and --specialists 2 go together; give both or none")
    if options.resume is not None:
        if given:
            flags = ", ".join("--" + name.replace("_", "-") for name in sorted(given))
            raise ArgumentError(f"{flags} can't change when a run is resumed; leave it out, or start a new run")
        settings, folder = settings_from_state(_saved(options.resume)), options.resume
    else:
        settings, folder = settings_of(given), options.out or _free_folder()
        if (folder / "settings.json").exists():
            raise ArgumentError(f"{folder} already holds a run; go on with --resume {folder}, or choose another --out")
    check_inputs(settings)
    _write_settings(folder, settings.state_dict())
    console = Console(highlight=False)
    job = Job(settings, folder, lambda text: console.print(text, markup=False, soft_wrap=True))
    try:
        results = job.run()
    except Stopped:
        job.say(f"stopped; go on with: ascendlite posttrain --resume {folder}")
        return 130
    report = write_report(folder, settings, results, _about())
    job.say(f"report: {report}\nconverse with it: ascendlite chat {folder}")
    return 0


def _saved(folder: Path) -> dict[str, int | float | str]:
    file = folder / "settings.json"
    if not file.is_file():
        raise FileNotFoundError(f"{folder} holds no run (there is no settings.json in it)")
    from ascendlite.posttrain.job.run import read_object

    return read_object(file)


def _write_settings(folder: Path, state: dict[str, int | float | str]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / "settings.json") as aside:
            aside.write_text(json.dumps(state, indent=2) + "\n")
    except OSError as error:
        raise OSError(error.errno, f"{folder} can't be written ({error.strerror}); choose another folder with --out") from error


def _about() -> str:
    import platform

    import ascendlite as al

    return f"ascendlite {al.__version__}, Python {platform.python_version()}, {platform.machine()}, {al.get_num_threads()} threads"
