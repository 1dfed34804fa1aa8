"""Writes posttrain.npz: losses and gradients of post-training from the papers' formulas, token by token, in NumPy.

It imports nothing of ascendlite. Gradients come by complex steps: f(x + ih).imag / h has no cancellation, so they are
exact to the last bits of float64. Minimum, clip and comparison look at real parts; a stopped gradient is a real part.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

H = 1e-30
B, T, V, D = 8, 6, 11, 5


def gradient(f, x: np.ndarray) -> np.ndarray:
    out = np.zeros(x.shape)
    for place in np.ndindex(*x.shape):
        moved = x.astype(complex)
        moved[place] += 1j * H
        out[place] = f(moved).imag / H
    return out


def least(a, b):
    return a if a.real <= b.real else b


def clip(v, low, high):
    return v if low <= v.real <= high else complex(low if v.real < low else high)


def limited(v):
    return clip(v, -20.0, 20.0)


# ---- policy loss: each case is one choice of switches


def ratios(logp, old, mask, level):
    r = np.ones(logp.shape, dtype=complex)
    for i in range(logp.shape[0]):
        counted = [t for t in range(logp.shape[1]) if mask[i, t]]
        if level == "sequence" and counted:
            mean = sum(logp[i, t] - old[i, t] for t in counted) / len(counted)
            r[i, :] = np.exp(limited(mean))
        elif level == "token":
            for t in counted:
                r[i, t] = np.exp(limited(logp[i, t] - old[i, t]))
    return r


def kl_term(kind, x, r):
    k3 = np.exp(-x) + x - 1
    return {"none": 0, "k2": x * x / 2, "k3": k3, "unbiased": r * k3}[kind]


def policy(logp, data, case):
    old, ref, adv, mask = data["old"], data["ref"], data["adv"], data["mask"]
    r, token_r = ratios(logp, old, mask, case["ratio"]), ratios(logp, old, mask, "token")
    low, high = case["clip"]
    rows, all_sum, row_sum = 0, 0j, 0j
    for i in range(logp.shape[0]):
        counted = [t for t in range(logp.shape[1]) if mask[i, t]]
        if not counted:
            continue
        rows += 1
        behaviour = data["sampler"] if case.get("sampler") else old
        drift = sum(behaviour[i, t] - logp[i, t].real for t in counted) / len(counted)
        keep = 0.0 if case.get("opsm") is not None and adv[i] < 0 and drift > case["opsm"] else 1.0
        total = 0j
        for t in counted:
            if case["surrogate"] == "cispo":
                value = -min(r[i, t].real, high) * adv[i] * logp[i, t]
            else:
                value = -least(r[i, t] * adv[i], clip(r[i, t], 1 - low, 1 + high) * adv[i])
                if case.get("dual") and adv[i] < 0:
                    value = least(value, complex(-case["dual"] * adv[i]))
            value *= keep * (data["weight"][i, t] if case.get("weight") else 1.0)
            total += value + case["beta"] * kl_term(case["kl"], logp[i, t] - ref[i, t], token_r[i, t])
        all_sum += total
        row_sum += total / len(counted)
    return {"token": all_sum / mask.sum(), "seq": row_sum / rows, "const": all_sum / (rows * 9)}[case["agg"]]


BASE = {"ratio": "token", "clip": (0.2, 0.2), "surrogate": "clip", "agg": "seq", "kl": "none", "beta": 0.0}
CASES = {
    "grpo_k3": {**BASE, "kl": "k3", "beta": 0.04},
    "grpo_k2": {**BASE, "kl": "k2", "beta": 0.3},
    "dapo": {**BASE, "clip": (0.2, 0.28), "agg": "token"},
    "dr_grpo": {**BASE, "agg": "const"},
    "gspo": {**BASE, "ratio": "sequence", "clip": (0.03, 0.04)},
    "gspo_unbiased": {**BASE, "ratio": "sequence", "clip": (0.03, 0.04), "kl": "unbiased", "beta": 0.1},
    "cispo": {**BASE, "surrogate": "cispo", "clip": (0.0, 1.1), "agg": "token"},
    "unbiased": {**BASE, "kl": "unbiased", "beta": 0.1, "agg": "token"},
    "dual": {**BASE, "dual": 1.3, "agg": "token"},
    "opsm": {**BASE, "opsm": 0.1, "kl": "k3", "beta": 0.05},
    "opsm_sampler": {**BASE, "opsm": 0.1, "sampler": True, "agg": "token"},
    "weighted": {**BASE, "weight": True, "kl": "k3", "beta": 0.05, "agg": "token"},
}


def advantages(rewards, group, scale, eps=1e-4):
    out = []
    for start in range(0, len(rewards), group):
        part = rewards[start : start + group]
        mean = sum(part) / group
        deviation = (sum((v - mean) ** 2 for v in part) / (group - 1)) ** 0.5
        out += [(v - mean) / (deviation + eps) if scale else v - mean for v in part]
    return np.array(out)


# ---- the other losses


def sft(logits, tokens, learned):
    total, count = 0j, 0
    for i in range(logits.shape[0]):
        for t in range(logits.shape[1]):
            if learned[i, t]:
                total -= logits[i, t, tokens[i, t]] - np.log(sum(np.exp(logits[i, t])))
                count += 1
    return total / count


def dpo(chosen, rejected, ref, beta, smoothing):
    total = 0j
    for i in range(len(chosen)):
        s = beta * ((chosen[i] - ref[0][i]) - (rejected[i] - ref[1][i]))
        total -= (1 - smoothing) * np.log(1 / (1 + np.exp(-s))) + smoothing * np.log(1 / (1 + np.exp(s)))
    return total / len(chosen)


def ipo(chosen, rejected, ref, beta):
    return sum(((chosen[i] - ref[0][i]) - (rejected[i] - ref[1][i]) - 1 / (2 * beta)) ** 2 for i in range(len(chosen))) / len(chosen)


def logs(hidden, head):
    logits = [sum(hidden[k] * row[k] for k in range(len(row))) for row in head]
    norm = np.log(sum(np.exp(v) for v in logits))
    return [v - norm for v in logits]


def distill(hidden, head, teachers):
    total, weight = 0j, 0.0
    for t in range(hidden.shape[0]):
        student = logs(hidden[t], head)
        for th, thead, w in teachers:
            other = logs(th[t], thead)
            total += w[t] * sum(np.exp(p) * (p - q) for p, q in zip(student, other, strict=True))
            weight += w[t]
    return total / weight


def main() -> None:
    rng = np.random.default_rng(20261125)
    store: dict[str, np.ndarray] = {}
    logp = -rng.exponential(1.0, (B, T))
    data = {
        "old": logp + rng.normal(0, 0.3, (B, T)), "ref": logp + rng.normal(0, 0.5, (B, T)), "sampler": logp + rng.normal(0, 0.3, (B, T)),
        "adv": rng.normal(0, 1, B), "weight": rng.uniform(0, 2, (B, T)),
        "mask": (np.arange(T) < np.array([6, 3, 1, 0, 5, 6, 2, 4])[:, None]).astype(float),
    }
    store.update({f"policy.{name}": value for name, value in {"logp": logp, **data}.items()})
    for name, case in CASES.items():
        store[f"policy.{name}.loss"] = np.array(policy(logp.astype(complex), data, case).real)
        store[f"policy.{name}.grad"] = gradient(lambda x, case=case: policy(x, data, case), logp)
    rewards = rng.normal(0, 1, 12)
    store["advantages.rewards"] = rewards
    store["advantages.scaled"], store["advantages.centred"] = advantages(rewards, 4, True), advantages(rewards, 4, False)
    logits, tokens = rng.normal(0, 2, (3, 4, V)), rng.integers(0, V, (3, 4))
    learned = rng.random((3, 4)) < 0.6
    store.update({"sft.logits": logits, "sft.tokens": tokens, "sft.learned": learned})
    store["sft.loss"] = np.array(sft(logits.astype(complex), tokens, learned).real)
    store["sft.grad"] = gradient(lambda x: sft(x, tokens, learned), logits)
    chosen, rejected, ref = -rng.exponential(9, 5), -rng.exponential(9, 5), -rng.exponential(9, (2, 5))
    store.update({"dpo.chosen": chosen, "dpo.rejected": rejected, "dpo.ref": ref})
    for name, f in {
        "sigmoid": lambda c: dpo(c, rejected, ref, 0.1, 0.0),
        "smoothed": lambda c: dpo(c, rejected, ref, 0.1, 0.15),
        "ipo": lambda c: ipo(c, rejected, ref, 0.1),
    }.items():
        store[f"dpo.{name}.loss"], store[f"dpo.{name}.grad"] = np.array(f(chosen.astype(complex)).real), gradient(f, chosen)
    hidden, head = rng.normal(0, 1, (7, D)), rng.normal(0, 1, (V, D))
    teachers = [(rng.normal(0, 1, (7, w)), rng.normal(0, 1, (V, w)), rng.uniform(0, 1, 7) * (rng.random(7) < 0.7)) for w in (4, 6)]
    store.update({"distill.hidden": hidden, "distill.head": head})
    for k, (th, thead, w) in enumerate(teachers):
        store.update({f"distill.teacher{k}.hidden": th, f"distill.teacher{k}.head": thead, f"distill.teacher{k}.weights": w})
    store["distill.loss"] = np.array(distill(hidden.astype(complex), head, teachers).real)
    store["distill.grad_hidden"] = gradient(lambda x: distill(x, head, teachers), hidden)
    store["distill.grad_head"] = gradient(lambda x: distill(hidden, x, teachers), head)
    np.savez_compressed(Path(__file__).with_name("posttrain.npz"), **store)


if __name__ == "__main__":
    main()
