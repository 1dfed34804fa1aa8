"""GRPO and its kin: groups of completions, rewards, advantages within the group, and the policy loss.

What a run does again after a crash is what it did: completions come from seeds of (run, generation, row), are logged token
by token in `output_dir/rollouts`, and a generation that several steps use is in their checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ascendlite import nn
from ascendlite.core import Tensor, no_grad
from ascendlite.errors import ArgumentError
from ascendlite.files import remove
from ascendlite.generation import GenerationConfig, row_seeds
from ascendlite.models.cache import CausalLM
from ascendlite.structure import Value
from ascendlite.text import Tokenizer

from .callbacks import TrainerCallback
from .config import GRPOConfig, config_for
from .dataset import Rows, beginning_of, prompt_text
from .dpo import frozen_copy, kept_reference
from .forward import answer_hidden
from .generations import Generation, GenerationMicro, equal_groups, generation_from_state, micro_of, rewarded
from .inputs import opened
from .judging import Drawn, Judged, judge
from .likelihood import entropy, token_log_probs
from .lora import LoraConfig
from .policy import RECIPES, PolicyTerms, Recipe, denominator, importance_weight, policy_terms
from .protocol import Codec, answer_text, ends_of
from .rewards import RewardFunction
from .rollout import Rollout, Sampler
from .routing import Routes, record_routes, replay_options
from .trainer import Trainer
from .wal import WriteAheadLog


@dataclass(frozen=True)
class _Micro:
    """A micro-batch of a step, and the routes to replay."""

    content: GenerationMicro
    routes: Routes | None


def recipe_of(args: GRPOConfig) -> Recipe:
    """The loss's row of `RECIPES` with what the config changes."""
    base = RECIPES[args.loss_type]
    low = base.clip[0] if args.epsilon is None else args.epsilon
    high = args.epsilon_high if args.epsilon_high is not None else base.clip[1] if args.epsilon is None else args.epsilon
    scale = base.scale_rewards if args.scale_rewards is None else args.scale_rewards
    return Recipe(args.importance_sampling_level or base.ratio, (low, high), base.surrogate, base.agg, scale)


class GRPOTrainer(Trainer[_Micro]):
    """Learns from rewards, by TRL's names: `reward_funcs` are f(prompts, completions, **columns) -> list of numbers.

    `train_dataset` has rows with `prompt` (a text or messages); its other columns go to the reward functions.

    >>> from ascendlite.models.gpt import GPT, GPTConfig
    >>> tokenizer = al.posttrain.PieceTokenizer()
    >>> model = GPT(GPTConfig(tokenizer.vocab_size, length=16, layers=1, heads=1, width=8))
    >>> def short(prompts, completions, **columns):
    ...     return [-len(completion) for completion in completions]
    >>> args = GRPOConfig(max_steps=1, num_generations=4, max_completion_length=4, disable_tqdm=True)
    >>> trainer = GRPOTrainer(model, reward_funcs=[short], args=args, train_dataset=[{"prompt": "a"}], processing_class=tokenizer)
    >>> trainer.train().global_step
    1
    """

    def __init__(
        self,
        model: nn.Module | str,
        reward_funcs: RewardFunction | Callable[..., Sequence[float | None]] | Sequence[Callable[..., Sequence[float | None]]],
        args: GRPOConfig | None = None,
        train_dataset: Rows | None = None,
        *,
        processing_class: Codec | Tokenizer | None = None,
        ref_model: nn.Module | None = None,
        peft_config: LoraConfig | None = None,
        callbacks: Sequence[TrainerCallback] = (),
        saved_with: Mapping[str, Value] | None = None,
    ) -> None:
        self.config = config_for("GRPOTrainer", args, GRPOConfig)
        model, self.codec, self.dataset = opened("GRPOTrainer", model, processing_class, train_dataset, peft_config, "prompt")
        functions: Any = [reward_funcs] if callable(reward_funcs) or isinstance(reward_funcs, str) else list(reward_funcs)
        for function in functions:
            if not callable(function) or isinstance(function, nn.Module):
                raise ArgumentError(f"GRPOTrainer: {function!r:.80} of reward_funcs is no function; give f(prompts, completions, **columns) -> list of numbers")
        self.rewards = cast("list[RewardFunction]", functions)
        self.weights = list(self.config.reward_weights or [1.0] * len(self.rewards))
        if len(self.weights) != len(self.rewards) or not self.rewards:
            raise ArgumentError(f"GRPOTrainer: {len(self.rewards)} reward_funcs and {len(self.weights)} reward_weights; give as many of each, at least one")
        super().__init__(model, self.config, len(self.dataset), callbacks=callbacks, saved_with=saved_with)
        self.recipe = recipe_of(self.config)
        needs_reference = self.config.beta > 0
        self.reference = (frozen_copy(model) if ref_model is None else ref_model) if needs_reference else None
        self._kept = None if self.reference is None else kept_reference(self.reference, self.learned, given=ref_model is not None)
        self.generation: Generation | None = None
        self._routes: dict[tuple[int, ...], Routes] = {}
        self._used, self._number = 0, 0  # micro-batches used of the generation, generations so far
        self._sampler = Sampler(self.causal, self._generation_config())

    def _generation_config(self) -> GenerationConfig:
        c = self.config
        return GenerationConfig(
            max_new_tokens=c.max_completion_length, temperature=c.temperature, top_k=c.top_k or None,
            top_p=None if c.top_p == 1 else c.top_p, min_p=c.min_p, stop_tokens=ends_of(self.codec),
        )  # fmt: skip

    @property
    def causal(self) -> CausalLM:
        """The model by what it can do."""
        return cast(CausalLM, self.model)

    def rows_per_step(self) -> float:
        """Prompts of an optimizer step."""
        c = self.config
        steps = c.micro_batches // c.gradient_accumulation_steps * c.num_iterations
        return c.generation_rows / c.num_generations / steps

    # -- generations

    def _log_path(self, number: int, again: int) -> Path | None:
        """The log of a generation; of each time that groups of it are drawn again one more."""
        return None if self.folder is None else self.folder / "rollouts" / f"generation-{number:08}{f'-{again}' if again else ''}.log"

    def _generate(self) -> Generation:
        c = self.config
        drawn, figures = self._drawn_with_signal(c.generation_rows // c.num_generations)
        rollouts, rewards = drawn.judged.rollouts, drawn.judgement.totals
        figures = {**drawn.judgement.figures(), **figures}
        generation = rewarded(rollouts, rewards, figures, c.num_generations, self.recipe.scale_rewards)
        generation.order = self._mixed(len(rollouts))
        self._number += 1
        self._note_completions(drawn.judged.prompts, drawn.judged.completions, rewards)
        self._add_log_probs(generation)
        return generation

    def _drawn_with_signal(self, groups: int) -> tuple[Drawn, dict[str, float]]:
        """So many groups; with dynamic sampling those of equal rewards are replaced by groups of the next prompts, up to a limit."""
        size, again, replaced = self.config.num_generations, 0, 0
        drawn = self._drawn(groups, 0)
        while again < self.config.dynamic_sampling and (equal := equal_groups(drawn.judgement.totals, size)):
            again, replaced = again + 1, replaced + len(equal)
            drawn = drawn.replaced(equal, self._drawn(len(equal), again), size)
        return drawn, {"resampled_groups": replaced, "resamplings": again} if self.config.dynamic_sampling else {}

    def _drawn(self, groups: int, again: int) -> Drawn:
        c = self.config
        rows = [self.dataset[n] for n in self.order.take(groups) for _ in range(c.num_generations)]
        texts = [prompt_text(row, self.codec) for row in rows]
        seed = row_seeds(c.seed, 2 + again)[1 + again] + self._number * 0x9E3779B97F4A7C15
        seeds = [s % 2**63 for s in row_seeds(seed % 2**63, len(rows))]
        rollouts = self._draw([beginning_of(self.codec, text) for text in texts], seeds, again)
        judged = Judged(texts, [answer_text(self.codec, rollout.tokens) for rollout in rollouts], rows, rollouts)
        return Drawn(judged, judge(judged, self.rewards, self.weights, self.state))

    def _draw(self, prompts: list[list[int]], seeds: list[int], again: int) -> list[Rollout]:
        path = self._log_path(self._number, again)
        with self.autocast():
            if path is None:
                return self._sampler.draw(prompts, seeds)
            with WriteAheadLog(path) as log:
                return self._sampler.draw(prompts, seeds, log)

    def _mixed(self, rows: int) -> list[int]:
        """The order in which rows are used: as drawn where one step uses them all, else mixed so that steps are alike."""
        if self.config.micro_batches == self.config.gradient_accumulation_steps:
            return list(range(rows))
        import numpy

        draw = numpy.random.Generator(numpy.random.Philox(key=self.config.seed % 2**64, counter=[0, 0, 1, self._number]))
        return cast("list[int]", draw.permutation(rows).tolist())

    def _note_completions(self, prompts: list[str], completions: list[str], rewards: list[float]) -> None:
        if self.config.log_completions and self.folder is not None:
            import json

            rows = zip(prompts, completions, rewards, strict=True)
            text = "".join(json.dumps({"prompt": p, "completion": c, "reward": r}, ensure_ascii=False) + "\n" for p, c, r in rows)
            (self.folder / "completions.jsonl").write_text(text, encoding="utf-8")  # those of the newest generation

    def _micro_rows(self, generation: Generation) -> list[list[int]]:
        size = self.config.per_device_train_batch_size
        return [generation.order[at : at + size] for at in range(0, len(generation.order), size)]

    def _add_log_probs(self, generation: Generation) -> None:
        """What has to be computed under the sampling policy, and under the reference, before the first update."""
        self._routes = {}
        c = self.config
        old: dict[int, list[float]] = {}
        reference: dict[int, list[float]] = {}
        for rows in self._micro_rows(generation):
            micro = micro_of(generation, rows, self.device)
            lengths = [len(generation.rollouts[row].tokens) for row in rows]
            with no_grad(), self.autocast():
                if c.keep_routing:
                    self._routes[tuple(rows)] = record_routes(self.causal, micro.batch)
                if c.importance_sampling_correction:
                    old |= _by_row(rows, lengths, self._log_probs(self.model, micro, None)[0])
                if self.reference is not None:
                    reference |= _by_row(rows, lengths, self._log_probs(self.reference, micro, None)[0])
        generation.old_logps = [old[row] for row in sorted(old)]
        generation.ref_logps = [reference[row] for row in sorted(reference)]

    # -- steps

    def plan(self) -> list[_Micro]:
        """The next micro-batches; a new generation where the last one is used up."""
        c = self.config
        if self.generation is None or self._used >= c.micro_batches * c.num_iterations:
            self.generation, self._used = self._generate(), 0
        parts = self._micro_rows(self.generation)
        first = self._used % c.micro_batches
        self._used += c.gradient_accumulation_steps
        chosen = parts[first : first + c.gradient_accumulation_steps]
        micros = [micro_of(self.generation, rows, self.device, mask_truncated=c.mask_truncated_completions) for rows in chosen]
        return [_Micro(micro, self._routes.get(micro.rows)) for micro in micros]

    def _log_probs(self, model: nn.Module, micro: GenerationMicro, routes: Routes | None) -> tuple[Tensor, Tensor]:
        causal = cast(CausalLM, model)
        logits: Tensor = causal.head(answer_hidden(causal, micro.batch, **replay_options(routes)))
        return token_log_probs(logits, micro.batch.answers, temperature=self.config.temperature, kept=micro.kept), logits

    def _terms(self, micro: GenerationMicro, logp: Tensor, total: float) -> PolicyTerms:
        c, r = self.config, self.recipe
        weight = None
        if c.importance_sampling_correction:
            level, _, mode = c.importance_sampling_mode.partition("_")
            mode = "clamp" if mode == "truncate" else mode
            weight = importance_weight(micro.old, micro.sampled, micro.mask, level=level, mode=mode, cap=c.importance_sampling_cap)
        return policy_terms(
            logp.masked_fill(micro.batch.mask == 0, 0.0), micro.old, micro.advantages, micro.mask,
            ratio=r.ratio, clip=r.clip, surrogate=r.surrogate, dual_clip=c.delta, agg=r.agg,
            kl=(c.kl, c.beta) if micro.reference is not None else ("none", 0.0), ref_logp=micro.reference,
            opsm=c.off_policy_mask_threshold, sampler_logp=micro.sampled, is_weight=weight, total=total,
        )  # fmt: skip

    def compute(self, micros: list[_Micro]) -> tuple[float, dict[str, float]]:
        """The policy loss over all micro-batches of the step, with one denominator."""
        assert self.generation is not None
        longest = self.config.max_completion_length
        total = sum(denominator(self.recipe.agg, micro.content.mask, longest) for micro in micros if micro.content.mask.sum().item())
        loss, found = 0.0, []
        for micro in micros:
            with self.autocast():
                logp, logits = self._log_probs(self.model, micro.content, micro.routes)
                terms = self._terms(micro.content, logp, total or 1.0)
            self.backward(terms.loss)
            loss += float(terms.loss.item())
            found.append(self._figures(micro.content, terms, logits))
        rows = [micro.content.batch.rows for micro in micros]
        stats = {name: sum(f[name] * n for f, n in zip(found, rows, strict=True)) / sum(rows) for name in found[0]}
        return loss, {**stats, **self.generation.figures, "tokens": sum(sum(micro.content.batch.lengths) for micro in micros)}

    def _figures(self, micro: GenerationMicro, terms: PolicyTerms, logits: Tensor) -> dict[str, float]:
        figures = {
            "ratio": float(terms.ratio.item()),
            "clip_ratio": float(terms.clipped.item()),
            "masked_rows": float(terms.masked_rows.item()),
        }
        if (self.state.global_step + 1) % self.args.logging_steps == 0:
            spread = entropy(logits, temperature=self.config.temperature) * micro.batch.mask
            figures["entropy"] = float((spread.sum() / micro.batch.mask.sum().clamp(min=1)).item())
        if terms.kl is not None:
            figures["kl"] = float(terms.kl.item())
        return figures

    def applied(self) -> None:
        """The reference follows, where it is told to."""
        c = self.config
        if c.sync_ref_model and self.reference is not None and (self.state.global_step + 1) % c.ref_model_sync_steps == 0:
            with no_grad():
                for mine, theirs in zip(self.model.parameters(), self.reference.parameters(), strict=True):
                    if mine is not theirs:
                        theirs.mul_(1 - c.ref_model_mixup_alpha).add_(mine, alpha=c.ref_model_mixup_alpha)

    # -- state

    def batch_state(self, micros: list[_Micro]) -> Value:
        """Tokens, advantages and old log-probabilities."""
        return [
            {"tokens": m.content.batch.tokens, "answers": m.content.batch.answers, "advantages": m.content.advantages, "old": m.content.old}
            for m in micros
        ]

    def extra_state(self) -> Value:
        """The generation that is in use, how far it is used, and the reference."""
        return {
            "number": self._number,
            "used": self._used,
            "generation": None if self.generation is None else self.generation.state_dict(),
            "routes": [[list(rows), cast(Value, routes.state_dict())] for rows, routes in self._routes.items()],
            "reference": None if self._kept is None else self._kept.state_dict(),
        }

    def load_extra_state(self, state: Value) -> None:
        """Go on in the generation."""
        values = cast("dict[str, Any]", state)
        self._number, self._used = values["number"], values["used"]
        self.generation = None if values["generation"] is None else generation_from_state(values["generation"])
        self._routes = {tuple(rows): Routes.from_state(routes) for rows, routes in values["routes"]}
        if self._kept is not None:
            self._kept.load_state_dict(values["reference"])

    def save(self) -> Path | None:
        """A checkpoint; logs of generations that no kept checkpoint needs are deleted."""
        path = super().save()
        if path is not None and self.folder is not None:
            keep = (self.args.save_total_limit or self._number) * max(self.args.save_steps, 1) + 1
            for log in (self.folder / "rollouts").glob("generation-*.log"):
                if int(log.stem.split("-")[1]) < self._number - keep:
                    remove(log)
        return path


def _by_row(rows: Sequence[int], lengths: Sequence[int], values: Tensor) -> dict[int, list[float]]:
    table = values.detach().float().tolist()
    return {row: table[at][:n] for at, (row, n) in enumerate(zip(rows, lengths, strict=True))}


__all__ = ["GRPOTrainer", "recipe_of"]
