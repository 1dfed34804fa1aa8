"""Small runs that the tests of post-training share; the kill test starts `main` in processes of their own."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import ascendlite as al
from ascendlite.models.gpt import GPT, GPTConfig
from ascendlite.posttrain import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, PieceTokenizer, SFTConfig, SFTTrainer

WORDS = ("isa", "dalawa", "tatlo", "apat")
TOKENIZER = PieceTokenizer(WORDS)


def gpt(seed: int = 0, dropout: float = 0.0, width: int = 16) -> GPT:
    al.manual_seed(seed)
    return GPT(GPTConfig(TOKENIZER.vocab_size, length=24, layers=1, heads=2, width=width, dropout=dropout))


def rows(count: int = 7) -> list[dict]:
    """Prompts, answers, worse answers, and a column."""
    return [
        {"prompt": f"{WORDS[n % 4]}={'.' * (n % 3)}", "completion": WORDS[(n + 1) % 4], "chosen": "isa", "rejected": "!!", "wanted": WORDS[n % 4]}
        for n in range(count)
    ]


def liked(prompts, completions, wanted, **columns) -> list[float]:
    """A reward that every model gets some of: shorter, and with the wanted word."""
    return [(word in text) - 0.1 * len(text) for text, word in zip(completions, wanted, strict=True)]


def sft(folder: str | Path | None, device: str = "cpu", **options) -> SFTTrainer:
    config = {"max_steps": 9, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "learning_rate": 1e-2, **options}
    return SFTTrainer(gpt(dropout=0.1).to(device), SFTConfig(str(folder) if folder else None, disable_tqdm=True, **config), rows(), processing_class=TOKENIZER)


def dpo(folder: str | Path | None, **options) -> DPOTrainer:
    config = {"max_steps": 5, "per_device_train_batch_size": 3, "learning_rate": 1e-2, **options}
    return DPOTrainer(gpt(), None, DPOConfig(str(folder) if folder else None, disable_tqdm=True, **config), rows(), processing_class=TOKENIZER)


def grpo(folder: str | Path | None, **options) -> GRPOTrainer:
    config = {
        "max_steps": 8, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "steps_per_generation": 4, "num_iterations": 2,
        "num_generations": 4, "max_completion_length": 6, "learning_rate": 1e-2, "beta": 0.05, "epsilon_high": 0.28, "epsilon": 0.2, **options,
    }  # fmt: skip
    args = GRPOConfig(str(folder) if folder else None, disable_tqdm=True, **config)
    return GRPOTrainer(gpt(), reward_funcs=[liked], args=args, train_dataset=rows(), processing_class=TOKENIZER)


KINDS = {"sft": sft, "dpo": dpo, "grpo": grpo}


def digest(trainer) -> str:
    """A hash of every weight and of the optimizer's moments, bit for bit."""
    found = hashlib.sha256()
    for name, t in sorted(trainer.model.state_dict().items()):
        found.update(name.encode() + t.contiguous().numpy().tobytes())
    for member in trainer.optimizer.members.values():
        for state in member.state.values():
            for value in state.values():
                found.update(value.detach().numpy().tobytes() if isinstance(value, al.Tensor) else repr(value).encode())
    return found.hexdigest()


def figures(trainer) -> list[dict]:
    """The log without what a clock says."""
    return [{k: v for k, v in row.items() if k not in ("seconds", "tokens_per_s")} for row in trainer.state.log_history]


def main(kind: str, folder: str) -> None:
    """Train to the end, going on with what is there; prints the digest."""
    trainer = KINDS[kind](folder, save_steps=1)
    resume = (Path(folder) / "checkpoints").is_dir() and any((Path(folder) / "checkpoints").glob("step-*"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.train(resume_from_checkpoint=resume)
    print(digest(trainer))

