"""Post-training: supervised fine-tuning, LoRA, DPO, GRPO and its kin, on-policy distillation; rewards, rollouts and evaluation."""

from .callbacks import TrainerCallback, TrainerControl, TrainerState
from .config import DistillConfig, DPOConfig, GRPOConfig, SFTConfig, TrainingConfig
from .distill import Teacher, distill_loss, sampled_distill_advantages
from .distilling import DistillTrainer
from .dpo import DPOTrainer
from .evaluate import Evaluation, Share, evaluate, pass_at_k, wilson
from .grpo import GRPOTrainer
from .guard import TrainingError
from .likelihood import entropy, token_log_probs
from .lora import LoraConfig, add_lora, load_lora, lora_state_dict, merge_lora, save_lora
from .packing import Batch, Example, pack, pad
from .pieces import PieceTokenizer
from .policy import (
    RECIPES,
    PolicyTerms,
    Recipe,
    denominator,
    group_advantages,
    importance_weight,
    off_policy_mask,
    policy_loss,
    policy_terms,
)
from .preference import dpo_loss, sequence_log_probs
from .rewards import exact_match, format_match, numeric_match, repetition_penalty, soft_overlong, total_rewards
from .rollout import Rollout, Sampler
from .sft import SFTTrainer
from .trainer import Trainer, TrainOutput
from .wal import WriteAheadLog
