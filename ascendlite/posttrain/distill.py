"""On-policy distillation: reverse KL over the full vocabulary from several teachers to one student.

What differs from the textbook formula:
- nobody's logits are ever held for all tokens: they are built from last hidden states, a chunk of tokens at a time, and
  the gradient of a chunk is taken at once, in the forward pass (DeepSeek-V4 caches teachers' hidden states likewise);
- a teacher whose weights are zero in a chunk is not computed there, so batches sorted by teacher need one head at a time.

The trajectory counts as fixed: there is no score-function term, as in GKD (arXiv:2306.13649).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ascendlite as al
from ascendlite.autograd import Function
from ascendlite.autograd.function import FunctionCtx
from ascendlite.core import Tensor, no_grad
from ascendlite.errors import ArgumentError, GradError, ShapeError
from ascendlite.nn import functional as F


@dataclass(frozen=True)
class Teacher:
    """A teacher's last hidden states, (N, width), its head, (V, width), and what each token counts for it, (N,)."""

    hidden: Tensor
    head: Tensor
    weights: Tensor


def _logs(hidden: Tensor, head: Tensor, temperature: float) -> Tensor:
    logits = F.linear(hidden, head)
    logits = logits if logits.dtype == al.float64 else logits.float()
    return F.log_softmax(logits / temperature if temperature != 1.0 else logits, -1)


def _chunk(hidden: Tensor, head: Tensor, teachers: Sequence[Teacher], rows: slice, temperature: float) -> tuple[Tensor, Tensor]:
    """The summed loss of some tokens and its gradient with respect to the student's logits, (n, V)."""
    logs = _logs(hidden[rows], head, temperature)
    p = logs.exp()
    loss = al.zeros((), dtype=logs.dtype, device=logs.device)
    gradient = al.zeros_like(logs)
    for teacher in teachers:
        weights = teacher.weights[rows].to(logs.dtype).unsqueeze(1)
        if not bool((weights != 0).any().item()):
            continue
        apart = logs - _logs(teacher.hidden[rows], teacher.head, temperature).to(logs.dtype)
        kl = (p * apart).sum(1, True)  # (n, 1)
        loss = loss + (weights * kl).sum()
        gradient.add_(weights * p * (apart - kl))
    return loss, gradient / temperature


class _Distill(Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx, hidden: Tensor, head: Tensor, teachers: Sequence[Teacher], temperature: float, chunk: int
    ) -> Tensor:
        needs_hidden, needs_head = ctx.needs_input_grad[:2]
        total: Tensor | None = None
        parts: list[Tensor] = []
        of_head = al.zeros_like(head) if needs_head else None
        for start in range(0, hidden.shape[0], chunk):
            rows = slice(start, start + chunk)
            loss, gradient = _chunk(hidden, head, teachers, rows, temperature)
            total = loss if total is None else total + loss
            gradient = gradient.to(head.dtype)
            if needs_hidden:
                parts.append(gradient @ head)
            if of_head is not None:
                of_head.add_(gradient.mT @ hidden[rows])
        ctx.save_for_backward(al.cat(parts) if parts else None, of_head)
        return al.zeros(()) if total is None else total

    @staticmethod
    def backward(ctx: FunctionCtx, g: Tensor) -> tuple[Tensor | None, ...]:
        if al.is_grad_enabled():
            raise GradError("distill_loss: it has no second derivative (its gradient is taken in the forward pass); use create_graph=False")
        of_hidden, of_head = ctx.saved_tensors
        return (
            None if of_hidden is None else of_hidden * g.to(of_hidden.dtype),
            None if of_head is None else of_head * g.to(of_head.dtype),
            None, None, None,
        )


def _check(hidden: Tensor, head: Tensor, teachers: Sequence[Teacher], chunk: int) -> None:
    N, V = hidden.shape[0], head.shape[0]
    if hidden.ndim != 2 or head.ndim != 2 or hidden.shape[1] != head.shape[1]:
        raise ShapeError(f"distill_loss: hidden {tuple(hidden.shape)} and head {tuple(head.shape)} must be (N, width) and (V, width)")
    if not teachers or chunk < 1:
        raise ArgumentError(f"distill_loss: {len(teachers)} teachers and chunk {chunk}; give at least one of each")
    for number, teacher in enumerate(teachers):
        shapes = tuple(teacher.hidden.shape[:1]), tuple(teacher.head.shape[:1]), tuple(teacher.weights.shape)
        if shapes != ((N,), (V,), (N,)):
            raise ShapeError(
                f"distill_loss: teacher {number} has hidden {tuple(teacher.hidden.shape)}, head {tuple(teacher.head.shape)}, weights "
                f"{tuple(teacher.weights.shape)}; the student has {N} tokens and a vocabulary of {V}"
            )


def distill_loss(
    hidden: Tensor,
    head: Tensor,
    teachers: Sequence[Teacher],
    *,
    temperature: float = 1.0,
    chunk: int = 1024,
    total: float | None = None,
) -> Tensor:
    """sum_k sum_t w_kt KL(student_t || teacher_kt) / total, for hidden states (N, width) and a head (V, width).

    Its gradient with respect to the student's logits is w p (log p - log q - KL). `total` is by default the sum of all
    weights; give that of the whole optimizer step when it comes in micro-batches. Memory: about 4 x chunk x V numbers.

    >>> import ascendlite as al
    >>> h, w = al.randn(5, 4), al.randn(7, 4)
    >>> same = al.posttrain.Teacher(h, w, al.ones(5))
    >>> al.posttrain.distill_loss(h, w, [same]).item()
    0.0
    """
    _check(hidden, head, teachers, chunk)
    with no_grad():
        summed = sum(float(teacher.weights.sum().item()) for teacher in teachers) if total is None else total
    loss: Tensor = _Distill.apply(hidden, head, tuple(teachers), temperature, chunk)
    return loss / (summed or 1.0)


def sampled_distill_advantages(logp: Tensor, teacher_logp: Tensor, scale: float = 1.0) -> Tensor:
    """-scale (log pi - log teacher) at the sampled tokens: to add to the advantages; its mean gradient is that of `distill_loss`."""
    return (teacher_logp - logp).detach() * scale
