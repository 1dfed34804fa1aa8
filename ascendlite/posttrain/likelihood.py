"""Log-probabilities of tokens under logits, and the entropy of what the logits say.

It knows no model: logits (B, T, V) stand at the places whose next tokens, (B, T), are asked for.
"""

from __future__ import annotations

import ascendlite as al
from ascendlite.core import Tensor, no_grad
from ascendlite.errors import ArgumentError, ShapeError
from ascendlite.nn import functional as F

_ROWS = 4096  # places whose probabilities are held at once where no gradient is needed


def _check(logits: Tensor, tokens: Tensor, temperature: float) -> None:
    if tuple(logits.shape[:-1]) != tuple(tokens.shape):
        raise ShapeError(
            f"token_log_probs: logits {tuple(logits.shape)} stand at other places than tokens {tuple(tokens.shape)}; "
            "give one row of logits for each token"
        )
    if not temperature > 0:
        raise ArgumentError(f"token_log_probs: temperature is {temperature}; it must be above 0")


def token_log_probs(logits: Tensor, tokens: Tensor, *, temperature: float = 1.0, kept: Tensor | None = None) -> Tensor:
    """log p of each token, float32 (or float64), shaped like `tokens`.

    `kept`, (..., K), int64, names the tokens that were left by top-k or top-p when the token was drawn (-1 fills up):
    the probability is then that within the kept set, which is what the sampler drew from ("keep sampling mask",
    DeepSeek-V3.2). A token outside its own kept set has log p = -inf.

    >>> import ascendlite as al
    >>> al.posttrain.token_log_probs(al.zeros(1, 2, 4), al.tensor([[0, 3]]))
    tensor([[-1.3863, -1.3863]])
    """
    _check(logits, tokens, temperature)
    V = logits.shape[-1]
    scaled = logits if logits.dtype == al.float64 else logits.float()
    if temperature != 1.0:
        scaled = scaled / temperature
    if kept is None:
        rows = F.cross_entropy(scaled.reshape(-1, V), tokens.reshape(-1), reduction="none")
        return -rows.reshape(tokens.shape)
    if tuple(kept.shape[:-1]) != tuple(tokens.shape):
        raise ShapeError(f"token_log_probs: kept {tuple(kept.shape)} does not fit tokens {tuple(tokens.shape)}; its last axis is the kept set")
    inside = scaled.gather(-1, kept.clamp(min=0)).masked_fill(kept < 0, -al.inf)  # (..., K)
    chosen = scaled.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    found = (kept == tokens.unsqueeze(-1)).any(-1)
    return (chosen - inside.logsumexp(-1)).masked_fill(~found, -al.inf)


def entropy(logits: Tensor, *, temperature: float = 1.0) -> Tensor:
    """The entropy in nats of each place, without a gradient; probabilities are held for 4,096 places at a time.

    >>> import ascendlite as al
    >>> al.posttrain.entropy(al.zeros(1, 4)).item()  # ln 4
    1.3862943649291992
    """
    V = logits.shape[-1]
    flat = logits.detach().reshape(-1, V)
    parts = []
    with no_grad():
        for start in range(0, flat.shape[0], _ROWS):
            logs = F.log_softmax(flat[start : start + _ROWS].float() / temperature, -1)
            parts.append(-(logs.exp() * logs.masked_fill(logs == -al.inf, 0.0)).sum(-1))
    return (al.cat(parts) if parts else al.zeros(0)).reshape(logits.shape[:-1])
