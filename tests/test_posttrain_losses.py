"""Losses of post-training: against an independent NumPy implementation, and the laws that they obey."""

from __future__ import annotations

import math

import numpy as np
import pytest

import ascendlite as al
from ascendlite.errors import ArgumentError, ShapeError
from ascendlite.nn import functional as F
from ascendlite.posttrain import (
    RECIPES,
    Teacher,
    denominator,
    distill_loss,
    dpo_loss,
    entropy,
    group_advantages,
    importance_weight,
    off_policy_mask,
    policy_loss,
    policy_terms,
    sampled_distill_advantages,
    token_log_probs,
)
from tests.goldenfile import arrays, part
from tests.goldens.make_posttrain import CASES

GOLDEN = arrays("posttrain.npz")
POLICY = part(GOLDEN, "policy.")
DTYPES = {"float64": 1e-12, "float32": 1e-6}


def tensor(value: np.ndarray, dtype: str = "float64", grad: bool = False) -> al.Tensor:
    made = al.tensor(value.tolist(), dtype=getattr(al, dtype))
    return made.requires_grad_() if grad else made


def close(found: al.Tensor, expected: np.ndarray, tolerance: float) -> None:
    np.testing.assert_allclose(found.detach().double().numpy(), expected, rtol=tolerance, atol=tolerance * max(1.0, float(np.abs(expected).max())))


def policy_arguments(dtype: str, rows: slice = slice(None)) -> tuple[al.Tensor, ...]:
    logp = tensor(POLICY["logp"][rows], dtype, grad=True)
    return (logp, *(tensor(POLICY[name][rows], dtype) for name in ("old", "adv", "mask")))


def switches(case: dict, dtype: str, rows: slice = slice(None)) -> dict:
    options = {"ratio": case["ratio"], "clip": case["clip"], "surrogate": case["surrogate"], "agg": case["agg"], "max_length": 9}
    options |= {"kl": (case["kl"], case["beta"]), "ref_logp": tensor(POLICY["ref"][rows], dtype)}
    options |= {"dual_clip": case.get("dual"), "opsm": case.get("opsm")}
    options["is_weight"] = tensor(POLICY["weight"][rows], dtype) if case.get("weight") else None
    options["sampler_logp"] = tensor(POLICY["sampler"][rows], dtype) if case.get("sampler") else None
    return options


# ---- formulas


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_the_policy_loss_is_the_formula(name, dtype):
    arguments = policy_arguments(dtype)
    loss = policy_loss(*arguments, **switches(CASES[name], dtype))
    loss.backward()
    close(loss, POLICY[f"{name}.loss"], DTYPES[dtype])
    close(arguments[0].grad, POLICY[f"{name}.grad"], DTYPES[dtype])


def test_the_cases_take_every_branch():
    # clipped and free tokens, masked and kept rows: a golden that never clips would prove nothing
    def terms(name):
        return policy_terms(*policy_arguments("float64"), **switches(CASES[name], "float64"))

    assert 0 < terms("dapo").clipped.item() < 1
    assert 0 < terms("cispo").clipped.item() < 1
    assert 0 < terms("gspo").clipped.item() < 1
    assert 0 < terms("opsm").masked_rows.item() < 1
    assert not np.allclose(POLICY["dual.grad"], 0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_advantages_are_the_formula(dtype):
    rewards = tensor(GOLDEN["advantages.rewards"], dtype)
    close(group_advantages(rewards, 4), GOLDEN["advantages.scaled"], DTYPES[dtype])
    close(group_advantages(rewards, 4, scale=False), GOLDEN["advantages.centred"], DTYPES[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_likelihood_of_tokens_is_the_formula(dtype):
    logits = tensor(GOLDEN["sft.logits"], dtype, grad=True)
    learned = tensor(GOLDEN["sft.learned"].astype(float), dtype)
    loss = -(token_log_probs(logits, al.tensor(GOLDEN["sft.tokens"].tolist())) * learned).sum() / learned.sum()
    loss.backward()
    close(loss, GOLDEN["sft.loss"], DTYPES[dtype])
    close(logits.grad, GOLDEN["sft.grad"], DTYPES[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["sigmoid", "smoothed", "ipo"])
def test_dpo_is_the_formula(kind, dtype):
    chosen = tensor(GOLDEN["dpo.chosen"], dtype, grad=True)
    ref = [tensor(row, dtype) for row in GOLDEN["dpo.ref"]]
    options = {"kind": "ipo" if kind == "ipo" else "sigmoid", "label_smoothing": 0.15 if kind == "smoothed" else 0.0}
    loss = dpo_loss(chosen, tensor(GOLDEN["dpo.rejected"], dtype), *ref, beta=0.1, **options)
    loss.backward()
    close(loss, GOLDEN[f"dpo.{kind}.loss"], DTYPES[dtype])
    close(chosen.grad, GOLDEN[f"dpo.{kind}.grad"], DTYPES[dtype])


def teachers(dtype: str) -> list[Teacher]:
    return [Teacher(*(tensor(GOLDEN[f"distill.teacher{k}.{what}"], dtype) for what in ("hidden", "head", "weights"))) for k in (0, 1)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("chunk", [1, 3, 7, 100])
def test_distillation_is_the_formula_whatever_the_chunk(chunk, dtype):
    hidden, head = (tensor(GOLDEN[f"distill.{name}"], dtype, grad=True) for name in ("hidden", "head"))
    loss = distill_loss(hidden, head, teachers(dtype), chunk=chunk)
    loss.backward()
    close(loss, GOLDEN["distill.loss"], DTYPES[dtype])
    close(hidden.grad, GOLDEN["distill.grad_hidden"], DTYPES[dtype])
    close(head.grad, GOLDEN["distill.grad_head"], DTYPES[dtype])


# ---- laws


def test_dpo_starts_at_ln_2():
    logp = al.randn(6, dtype=al.float64) - 20
    other = al.randn(6, dtype=al.float64) - 20
    assert dpo_loss(logp, other, logp, other, beta=0.3).item() == pytest.approx(math.log(2), abs=1e-12)


def test_the_gradient_of_the_unbiased_kl_is_the_ratio_times_x():
    logp, old, _, mask = policy_arguments("float64")
    ref = tensor(POLICY["ref"])
    nothing = al.zeros(logp.shape[0], dtype=al.float64)
    policy_loss(logp, old, nothing, mask, kl=("unbiased", 1.0), ref_logp=ref, total=1.0).backward()
    r, x = (logp - old).detach().exp(), (logp - ref).detach()
    close(logp.grad, (r * x * mask).numpy(), 1e-12)


def test_k3_is_never_negative_and_k2_has_the_gradient_x():
    logp, old, _, mask = policy_arguments("float64")
    ref, nothing = tensor(POLICY["ref"]), al.zeros(8, dtype=al.float64)
    assert policy_loss(logp, old, nothing, mask, kl=("k3", 1.0), ref_logp=ref).item() > 0
    policy_loss(logp, old, nothing, mask, kl=("k2", 1.0), ref_logp=ref, total=1.0).backward()
    close(logp.grad, ((logp - ref).detach() * mask).numpy(), 1e-12)


@pytest.mark.parametrize("name", RECIPES)
def test_equal_rewards_teach_nothing(name):
    recipe = RECIPES[name]
    logp, old, _, mask = policy_arguments("float64")
    adv = group_advantages(al.full((8,), 0.1, dtype=al.float64), 4, scale=recipe.scale_rewards)
    policy_loss(logp, old, adv, mask, ratio=recipe.ratio, clip=recipe.clip, surrogate=recipe.surrogate, agg=recipe.agg).backward()
    assert not logp.grad.abs().max().item()


@pytest.mark.parametrize("surrogate", ["clip", "cispo"])
def test_at_ratio_one_it_is_reinforce_with_a_baseline(surrogate):
    logp, _, adv, mask = policy_arguments("float64")
    policy_loss(logp, logp.detach(), adv, mask, surrogate=surrogate, clip=(0.2, 5.0)).backward()
    expected = -(adv.unsqueeze(1) * mask) / mask.sum()
    close(logp.grad, expected.numpy(), 1e-12)


def test_the_two_ways_of_writing_gspo_have_one_gradient():
    # verl: sg[s] pi / sg[pi] at each token, whose values and gradients agree where a row has one advantage
    logp, old, adv, mask = policy_arguments("float64")
    direct = policy_loss(logp, old, adv, mask, ratio="sequence", clip=(0.5, 0.5), agg="seq")
    (expected,) = al.autograd.grad(direct, [logp])
    lengths = mask.sum(1).clamp(min=1)
    s = (((logp - old) * mask).sum(1) / lengths).clamp(-20.0, 20.0).exp().detach().unsqueeze(1)
    by_token = s * (logp - logp.detach()).exp()
    rows = adv.unsqueeze(1)
    worst = -al.minimum(by_token * rows, by_token.clamp(0.5, 1.5) * rows)
    other = (al.where(mask > 0, worst, al.zeros_like(worst)).sum(1) / lengths).sum() / float((mask.sum(1) > 0).sum().item())
    close(other, direct.detach().numpy(), 1e-12)
    (found,) = al.autograd.grad(other, [logp])
    close(found, expected.numpy(), 1e-12)


def test_advantages_do_not_see_the_scale_and_the_offset_of_rewards():
    rewards = al.randn(12, dtype=al.float64)
    close(group_advantages(rewards * 7 + 3, 4, eps=0.0), group_advantages(rewards, 4, eps=0.0).numpy(), 1e-12)


def test_a_reward_that_nobody_gave_counts_for_nothing():
    rewards = al.tensor([1.0, math.nan, 0.0, math.nan, math.nan, math.nan])
    found = group_advantages(rewards, 3, scale=False).tolist()
    assert found == [0.5, 0.0, -0.5, 0.0, 0.0, 0.0]


def gradient_of(case: dict, arguments: tuple[al.Tensor, ...], **options) -> np.ndarray:
    logp = arguments[0].detach().clone().requires_grad_()
    loss = policy_loss(logp, *arguments[1:], **options)
    loss.backward()
    return np.concatenate([[loss.item()], logp.grad.numpy().ravel()])


@pytest.mark.parametrize("name", CASES)
def test_the_order_of_samples_does_not_matter(name):
    order = np.array([3, 1, 7, 0, 2, 6, 5, 4])
    case, arguments = CASES[name], policy_arguments("float64")
    index = al.tensor(order.tolist())
    options = switches(case, "float64")
    moved = {k: v[index] if isinstance(v, al.Tensor) else v for k, v in options.items()}
    straight = gradient_of(case, arguments, **options)
    turned = gradient_of(case, tuple(a.detach()[index] for a in arguments), **moved)
    np.testing.assert_allclose(turned[0], straight[0], rtol=1e-12)
    np.testing.assert_allclose(turned[1:].reshape(8, 6), straight[1:].reshape(8, 6)[order], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", CASES)
def test_masked_tokens_and_rows_do_not_matter(name):
    case, arguments, options = CASES[name], policy_arguments("float64"), switches(CASES[name], "float64")

    def padded(t):
        if t.ndim == 1:
            return al.cat((t, al.tensor([2.0], dtype=al.float64)))
        wider = al.cat((t.detach(), al.zeros(8, 3, dtype=al.float64)), 1)
        return al.cat((wider, al.zeros(1, 9, dtype=al.float64)))

    def garbage(t, mask, value):
        return t.masked_fill(mask == 0, value)

    wider = tuple(padded(a) for a in arguments)
    spoiled = (garbage(wider[0], wider[3], -50.0), garbage(wider[1], wider[3], -20.0), *wider[2:])
    more = {k: padded(v) if isinstance(v, al.Tensor) else v for k, v in options.items()}
    plain, found = gradient_of(case, arguments, **options), gradient_of(case, spoiled, **more)
    np.testing.assert_allclose(found[0], plain[0], rtol=1e-12)
    np.testing.assert_allclose(found[1:].reshape(9, 9)[:8, :6], plain[1:].reshape(8, 6), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("parts", [2, 4])
@pytest.mark.parametrize("name", CASES)
def test_splitting_a_step_into_micro_batches_does_not_matter(name, parts):
    case, mask = CASES[name], tensor(POLICY["mask"])
    total = denominator(case["agg"], mask, 9)
    whole = gradient_of(case, policy_arguments("float64"), **switches(case, "float64"))
    loss, gradients, size = 0.0, [], 8 // parts
    for start in range(0, 8, size):
        rows = slice(start, start + size)
        found = gradient_of(case, policy_arguments("float64", rows), **(switches(case, "float64", rows) | {"total": total}))
        loss += found[0]
        gradients.append(found[1:])
    np.testing.assert_allclose(np.concatenate([[loss], *gradients]), whole, rtol=1e-12, atol=1e-15)


# ---- replay and correction


def test_keeping_the_sampling_mask_renormalises_over_what_was_kept():
    logits = al.randn(2, 3, 6, dtype=al.float64, requires_grad=True)
    kept = al.tensor([[[0, 4, -1], [1, 2, 3], [5, -1, -1]], [[2, 0, 1], [3, -1, -1], [0, 5, 2]]])
    tokens = al.tensor([[4, 1, 5], [0, 3, 2]])
    found = token_log_probs(logits, tokens, kept=kept)
    for b in range(2):
        for t in range(3):
            inside = [k for k in kept[b, t].tolist() if k >= 0]
            row = logits[b, t].detach().numpy()
            expected = row[tokens[b, t].item()] - np.log(np.exp(row[inside]).sum())
            assert found[b, t].item() == pytest.approx(expected, abs=1e-12)
    found.sum().backward()
    assert logits.grad[0, 2].abs().max().item() < 1e-15  # a set of one leaves nothing to choose
    assert logits.grad[0, 0, 1].item() == 0.0


def test_a_token_outside_its_kept_set_is_impossible():
    assert token_log_probs(al.zeros(1, 1, 4), al.tensor([[3]]), kept=al.tensor([[[0, 1]]])).item() == -math.inf


def test_the_kept_whole_vocabulary_is_no_mask():
    logits, tokens = al.randn(2, 3, 5), al.randint(0, 5, (2, 3))
    kept = al.arange(5).expand(2, 3, 5)
    close(token_log_probs(logits, tokens, kept=kept), token_log_probs(logits, tokens).numpy(), 1e-6)


def test_importance_weights():
    mask = al.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    train, sampler = al.zeros(2, 3), al.tensor([[-0.5, -0.2, 9.0], [-2.0, 0.1, 0.0]])
    expected = np.exp([[0.5, 0.2], [2.0, -0.1]])
    token = importance_weight(train, sampler, mask, level="token", mode="clamp").numpy()
    np.testing.assert_allclose(token[:, :2], np.minimum(expected, 3.0), rtol=1e-6)
    sequence = importance_weight(train, sampler, mask).numpy()
    np.testing.assert_allclose(sequence, [[math.exp(0.7)] * 3, [0.0] * 3], rtol=1e-6)


def test_only_bad_rows_that_drifted_are_masked():
    old, logp = al.zeros(3, 2), al.tensor([[-1.0, -1.0], [-1.0, -1.0], [-0.1, -0.1]])
    mask = al.ones(3, 2)
    assert off_policy_mask(logp, old, al.tensor([-1.0, 1.0, -1.0]), mask, 0.5).squeeze(1).tolist() == [0.0, 1.0, 1.0]


# ---- distillation


def test_a_teacher_that_is_the_student_teaches_nothing():
    hidden, head = al.randn(6, 4, requires_grad=True), al.randn(9, 4, requires_grad=True)
    loss = distill_loss(hidden, head, [Teacher(hidden.detach(), head.detach(), al.ones(6))])
    loss.backward()
    assert (loss.item(), hidden.grad.abs().max().item()) == (0.0, 0.0)


def test_it_is_autograds_gradient_of_the_plain_formula():
    hidden, head = (tensor(GOLDEN[f"distill.{name}"], grad=True) for name in ("hidden", "head"))
    loss = al.zeros((), dtype=al.float64)
    for teacher in teachers("float64"):
        p, q = F.log_softmax(hidden @ head.mT / 0.7, -1), F.log_softmax(teacher.hidden @ teacher.head.mT / 0.7, -1)
        loss = loss + (teacher.weights * (p.exp() * (p - q)).sum(-1)).sum()
    expected = al.autograd.grad(loss / 3.0, [hidden, head])
    found = al.autograd.grad(distill_loss(hidden, head, teachers("float64"), temperature=0.7, total=3.0, chunk=2), [hidden, head])
    for a, b in zip(found, expected, strict=True):
        close(a, b.numpy(), 1e-12)


def test_sampled_advantages_mean_the_full_gradient():
    al.manual_seed(3)
    logits, other = al.randn(1, 6, dtype=al.float64, requires_grad=True), al.randn(1, 6, dtype=al.float64)
    p, q = F.log_softmax(logits, -1), F.log_softmax(other, -1)
    (full,) = al.autograd.grad((p.exp() * (p - q)).sum(), logits)
    draws = al.multinomial(F.softmax(logits.detach().float(), -1), 200_000, replacement=True).squeeze(0)
    logp = F.log_softmax(logits, -1).squeeze(0)[draws]
    advantage = sampled_distill_advantages(logp, q.squeeze(0)[draws])
    (sampled,) = al.autograd.grad(-(advantage * logp).mean(), logits)
    np.testing.assert_allclose(sampled.numpy(), full.numpy(), atol=0.01)  # 1/sqrt(200,000) times a spread of about 2


def test_logits_of_all_tokens_are_never_held():
    N, width, V = 4096, 8, 2048
    hidden, head = al.randn(N, width, requires_grad=True), al.randn(V, width, requires_grad=True)
    teacher = Teacher(al.randn(N, width), al.randn(V, width), al.ones(N))
    al.cpu.reset_peak_memory_stats()
    before = al.cpu.memory_allocated()
    distill_loss(hidden, head, [teacher], chunk=128).backward()
    assert al.cpu.max_memory_allocated() - before < N * V * 4 / 2


# ---- what is refused


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda z: policy_loss(z, z[:1], z[:, 0], z), ShapeError, "policy_loss: logp"),
        (lambda z: policy_loss(z, z, z[:, 0], z, agg="mean"), ArgumentError, "agg is 'mean'; it must be one of token, seq, const"),
        (lambda z: policy_loss(z, z, z[:, 0], z, kl=("k3", 0.1)), ArgumentError, "give ref_logp"),
        (lambda z: group_advantages(z[:, 0], 3), ShapeError, "no whole number of groups of 3"),
        (lambda z: token_log_probs(z, z[:1].long()), ShapeError, "one row of logits for each token"),
        (lambda z: token_log_probs(z, z[:, 0].long(), temperature=0.0), ArgumentError, "temperature is 0.0"),
        (lambda z: importance_weight(z, z, z, level="row"), ArgumentError, "level 'row'"),
        (lambda z: dpo_loss(z[0], z[0], z[0], z[0], beta=0.0), ArgumentError, "beta 0.0"),
        (lambda z: distill_loss(z, z, []), ArgumentError, "0 teachers"),
        (lambda z: distill_loss(z, z, [Teacher(z, z[:1], z[:, 0])]), ShapeError, "teacher 0 has hidden"),
    ],
)
def test_mistakes_are_named(call, kind, text):
    with pytest.raises(kind, match=text.replace("(", r"\(")):
        call(al.zeros(2, 4))


def test_entropy_of_a_certain_place_is_zero():
    assert entropy(al.tensor([[0.0, -al.inf, -al.inf]])).item() == 0.0
