"""The policy loss: GRPO and its kin as one function with switches, and a table of the published settings.

What differs between libraries, and what is done here:
- the standard deviation of a group is the sample one (n - 1), as in TRL and verl; eps is 1e-4 (TRL; verl has 1e-6);
- log-ratios are clamped to +-20 before the exponential, as in verl (TRL clamps nothing); no clip range reaches there;
- a row without a single counted token counts in no mean (TRL lets it count as a zero), so padding rows change nothing;
- the off-policy mask and the importance weights multiply the policy term, never the KL term (TRL does the same).

Sources: GRPO arXiv:2402.03300, DAPO 2503.14476, Dr. GRPO 2503.20783, GSPO 2507.18071, CISPO 2506.13585,
k2 and k3 from Schulman's "Approximating KL Divergence", unbiased KL and the off-policy mask DeepSeek-V3.2 2512.02556.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import ascendlite as al
from ascendlite.core import Tensor
from ascendlite.errors import ArgumentError, ShapeError

LOG_RATIO_LIMIT = 20.0
_EPS = 1e-4
_SCALES = (True, False, "group", "batch", "none")


# ---- advantages


def group_advantages(rewards: Tensor, group: int, *, scale: bool | str = True, eps: float = _EPS) -> Tensor:
    """(R - mean) / (std + eps) within each group of `group` neighbours, shaped like `rewards`, (B,).

    `scale` False or "none" leaves the standard deviation out (Dr. GRPO, DeepSeek-V3.2), "batch" takes that of all rewards
    (arXiv:2508.08221), True or "group" that of the group. Equal rewards give exact zeros. Rewards
    that are NaN (no reward function had a say) get the advantage 0 and are left out of their group's mean.

    >>> import ascendlite as al
    >>> al.posttrain.group_advantages(al.tensor([1.0, 0.0, 1.0, 1.0]), 2, scale=False)
    tensor([ 0.5000, -0.5000,  0.0000,  0.0000])
    """
    if rewards.ndim != 1 or group < 1 or rewards.shape[0] % group:
        raise ShapeError(f"group_advantages: rewards {tuple(rewards.shape)} are no whole number of groups of {group}")
    table = rewards.reshape(-1, group)  # (groups, G)
    known = ~al.isnan(table)
    values = al.where(known, table, al.zeros_like(table))
    count = known.sum(1, True).to(table.dtype)
    mean = values.sum(1, True) / count.clamp(min=1)
    first = values.max(1, keepdim=True).values  # equal rewards may differ from their rounded mean
    equal = ((values == first) | ~known).all(1, True)
    apart = al.where(known & ~equal, table - mean, al.zeros_like(table))
    if scale not in _SCALES:
        raise ArgumentError(f"group_advantages: scale is {scale!r}; it must be True, False, group, batch or none")
    if scale == "batch":
        given = rewards[~al.isnan(rewards)]
        apart = apart / ((given.std() if given.numel() > 1 else given.sum() * 0) + eps)
    elif scale in (True, "group"):
        deviation = ((apart * apart).sum(1, True) / (count - 1).clamp(min=1)).sqrt()
        apart = apart / (deviation + eps)
    return apart.reshape(-1)


# ---- KL estimators: x = log pi - log pi_ref at each token, r = pi / pi_old


def _k3(x: Tensor) -> Tensor:
    return (-x).exp() + x - 1


KL_ESTIMATORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "k1": lambda x, r: x,
    "k2": lambda x, r: x * x / 2,
    "k3": lambda x, r: _k3(x),
    "unbiased": lambda x, r: r * _k3(x),  # gradient r * x: that of the KL itself, importance-weighted
}


# ---- importance weights of a sampler that is not quite the trainer


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean over the counted tokens of each row, (B, T) to (B,); 0 for a row without any."""
    return (values * mask).sum(1) / mask.sum(1).clamp(min=1)


def importance_weight(
    train_logp: Tensor, sampler_logp: Tensor, mask: Tensor, *, level: str = "sequence", mode: str = "mask", cap: float = 3.0
) -> Tensor:
    """pi_train / pi_sampler, (B, T), without a gradient; what exceeds `cap` is cut to it ("clamp") or set to 0 ("mask").

    `level` is "token" or "sequence" (the product over a row's tokens). TRL's default is the masked sequence with cap 3.
    """
    if level not in ("token", "sequence") or mode not in ("clamp", "mask"):
        raise ArgumentError(f"importance_weight: level {level!r}, mode {mode!r}; level is token or sequence, mode clamp or mask")
    apart = (train_logp - sampler_logp).detach() * mask
    if level == "sequence":
        apart = apart.sum(1, True).expand(*apart.shape)
    weight = apart.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()
    return weight.clamp(max=cap) if mode == "clamp" else al.where(weight <= cap, weight, al.zeros_like(weight))


def off_policy_mask(logp: Tensor, old_logp: Tensor, adv: Tensor, mask: Tensor, delta: float) -> Tensor:
    """1 for rows to learn from, 0 where adv < 0 and the mean of log pi_old - log pi exceeds `delta` nats; (B, 1)."""
    drift = masked_mean((old_logp - logp).detach(), mask)
    return (~((adv < 0) & (drift > delta))).to(logp.dtype).unsqueeze(1)


# ---- aggregation


def denominator(agg: str, mask: Tensor, max_length: int | None = None) -> float:
    """What the sum of a whole optimizer step is divided by: tokens ("token"), rows with tokens ("seq"), or rows times
    `max_length` ("const"). Give it to each micro-batch of the step, and splitting the step changes nothing.
    """
    rows = int((mask.sum(1) > 0).sum().item())
    counts = {"token": float(mask.sum().item()), "seq": float(rows), "const": float(rows * (max_length or mask.shape[1]))}
    if agg not in counts:
        raise ArgumentError(f"denominator: agg is {agg!r}; it must be one of {', '.join(counts)}")
    return max(counts[agg], 1.0)


def _total(values: Tensor, mask: Tensor, agg: str) -> Tensor:
    values = al.where(mask > 0, values * mask, al.zeros_like(values))  # what isn't counted may be anything, NaN too
    return (values.sum(1) / mask.sum(1).clamp(min=1)).sum() if agg == "seq" else values.sum()


# ---- the loss


@dataclass(frozen=True)
class PolicyTerms:
    """The loss and, without gradients, what to watch: mean KL, share of clipped tokens, share of masked rows, mean ratio."""

    loss: Tensor
    kl: Tensor | None
    clipped: Tensor
    masked_rows: Tensor
    ratio: Tensor


def _ratio(logp: Tensor, old_logp: Tensor, mask: Tensor, level: str) -> Tensor:
    apart = al.where(mask > 0, logp - old_logp, al.zeros_like(logp))
    if level == "sequence":
        apart = masked_mean(apart, mask).unsqueeze(1).expand(*logp.shape)
    return apart.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()


def _clipped(logp: Tensor, r: Tensor, adv: Tensor, clip: tuple[float, float], dual: float | None) -> tuple[Tensor, Tensor]:
    low, high = clip
    worst = -al.minimum(r * adv, r.clamp(1 - low, 1 + high) * adv)
    if dual is not None:  # for a bad sample the ratio has no upper bound otherwise (arXiv:1912.09729)
        worst = al.where(adv < 0, al.minimum(worst, -dual * adv), worst)
    cut = ((adv > 0) & (r > 1 + high)) | ((adv < 0) & (r < 1 - low))
    return worst, cut


def _cispo(logp: Tensor, r: Tensor, adv: Tensor, clip: tuple[float, float], dual: float | None) -> tuple[Tensor, Tensor]:
    most = clip[1]  # the largest weight itself, not 1 + it
    return -r.detach().clamp(max=most) * adv * logp, r > most


_SURROGATES = {"clip": _clipped, "cispo": _cispo}


def _check(logp: Tensor, old_logp: Tensor, adv: Tensor, mask: Tensor, words: dict[str, tuple[str, tuple[str, ...]]]) -> None:
    if logp.ndim != 2 or not tuple(logp.shape) == tuple(old_logp.shape) == tuple(mask.shape) or tuple(adv.shape[:1]) != tuple(logp.shape[:1]):
        raise ShapeError(
            f"policy_loss: logp {tuple(logp.shape)}, old_logp {tuple(old_logp.shape)}, mask {tuple(mask.shape)}, adv {tuple(adv.shape)}; "
            "the first three are (B, T), adv is (B,) or (B, T)"
        )
    for name, (value, known) in words.items():
        if value not in known:
            raise ArgumentError(f"policy_loss: {name} is {value!r}; it must be one of {', '.join(known)}")


def policy_terms(
    logp: Tensor,
    old_logp: Tensor,
    adv: Tensor,
    mask: Tensor,
    *,
    ratio: str = "token",
    clip: tuple[float, float] = (0.2, 0.2),
    surrogate: str = "clip",
    dual_clip: float | None = None,
    agg: str = "token",
    kl: tuple[str, float] = ("none", 0.0),
    ref_logp: Tensor | None = None,
    opsm: float | None = None,
    sampler_logp: Tensor | None = None,
    is_weight: Tensor | None = None,
    max_length: int | None = None,
    total: float | None = None,
) -> PolicyTerms:
    """`policy_loss` with what to watch beside it."""
    kind, beta = kl
    words = {
        "ratio": (ratio, ("token", "sequence")),
        "surrogate": (surrogate, tuple(_SURROGATES)),
        "agg": (agg, ("token", "seq", "const")),
        "kl": (kind, ("none", *KL_ESTIMATORS)),
    }
    _check(logp, old_logp, adv, mask, words)
    if kind != "none" and ref_logp is None:
        raise ArgumentError(f"policy_loss: kl {kind!r} compares with a reference; give ref_logp")
    mask = mask.to(logp.dtype)
    rows = adv if adv.ndim == 1 else masked_mean(adv, mask)
    adv = (adv.unsqueeze(1) if adv.ndim == 1 else adv).expand(*logp.shape).to(logp.dtype)
    r = _ratio(logp, old_logp, mask, ratio)
    policy, cut = _SURROGATES[surrogate](logp, r, adv, clip, dual_clip)
    learned = al.ones(logp.shape[0], 1, dtype=logp.dtype, device=logp.device)
    if opsm is not None:
        learned = off_policy_mask(logp, old_logp if sampler_logp is None else sampler_logp, rows, mask, opsm)
        policy = policy * learned
    policy = policy if is_weight is None else policy * is_weight.to(logp.dtype)
    apart = None
    if kind != "none" and ref_logp is not None:
        x = al.where(mask > 0, logp - ref_logp, al.zeros_like(logp))
        apart = KL_ESTIMATORS[kind](x, r if ratio == "token" else _ratio(logp, old_logp, mask, "token"))
        policy = policy + beta * apart
    loss = _total(policy, mask, agg) / (denominator(agg, mask, max_length) if total is None else total)
    tokens = mask.sum().clamp(min=1)
    return PolicyTerms(
        loss,
        None if apart is None else (apart.detach() * mask).sum() / tokens,
        (cut.to(logp.dtype) * mask).sum() / tokens,
        1 - learned.mean(),
        (r.detach() * mask).sum() / tokens,
    )


def policy_loss(
    logp: Tensor,
    old_logp: Tensor,
    adv: Tensor,
    mask: Tensor,
    *,
    ratio: str = "token",
    clip: tuple[float, float] = (0.2, 0.2),
    surrogate: str = "clip",
    dual_clip: float | None = None,
    agg: str = "token",
    kl: tuple[str, float] = ("none", 0.0),
    ref_logp: Tensor | None = None,
    opsm: float | None = None,
    sampler_logp: Tensor | None = None,
    is_weight: Tensor | None = None,
    max_length: int | None = None,
    total: float | None = None,
) -> Tensor:
    """The scalar to minimise for log-probabilities (B, T) of sampled tokens, advantages (B,) or (B, T), and a 0/1 mask.

    - `ratio`: "token", or "sequence" for exp(mean log-ratio) of a row (GSPO);
    - `clip`: (low, high) around 1; for `surrogate="cispo"` high is the largest weight of the detached ratio;
    - `dual_clip`: for adv < 0 the loss of a token is at most -dual_clip * adv;
    - `agg`: "token" sums over all tokens, "seq" over means of rows, "const" over rows times `max_length`; the sum is
      divided by `total`, by default the `denominator` of this batch;
    - `kl`: ("k1" | "k2" | "k3" | "unbiased", beta) adds beta * KL to the reference whose log-probabilities are `ref_logp`;
    - `opsm`: threshold in nats of the `off_policy_mask`, taken against `sampler_logp` where that is known;
    - `is_weight`: an `importance_weight`.

    >>> import ascendlite as al
    >>> logp = al.zeros(2, 3, requires_grad=True)
    >>> loss = al.posttrain.policy_loss(logp, logp.detach(), al.tensor([1.0, -1.0]), al.ones(2, 3))
    >>> loss.backward()
    >>> logp.grad
    tensor([[-0.1667, -0.1667, -0.1667],
            [ 0.1667,  0.1667,  0.1667]])
    """
    return policy_terms(
        logp, old_logp, adv, mask, ratio=ratio, clip=clip, surrogate=surrogate, dual_clip=dual_clip, agg=agg, kl=kl,
        ref_logp=ref_logp, opsm=opsm, sampler_logp=sampler_logp, is_weight=is_weight, max_length=max_length, total=total,
    ).loss


# ---- published settings


@dataclass(frozen=True)
class Recipe:
    """The choices that make one published loss of the family."""

    ratio: str = "token"
    clip: tuple[float, float] = (0.2, 0.2)
    surrogate: str = "clip"
    agg: str = "token"
    scale_rewards: bool | str = True


RECIPES: dict[str, Recipe] = {
    "grpo": Recipe(agg="seq"),
    "dapo": Recipe(clip=(0.2, 0.28)),
    "dr_grpo": Recipe(agg="const", scale_rewards=False),
    "gspo": Recipe(ratio="sequence", clip=(3e-4, 4e-4), agg="seq"),
    "cispo": Recipe(surrogate="cispo", clip=(0.0, 5.0)),
}
