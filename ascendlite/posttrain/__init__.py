"""Post-training: supervised fine-tuning, LoRA, DPO, GRPO and its kin, on-policy distillation; rewards and evaluation."""

from .distill import Teacher, distill_loss, sampled_distill_advantages
from .likelihood import entropy, token_log_probs
from .packing import Batch, Example, block_mask, pack, pad
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
