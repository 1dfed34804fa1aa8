"""Random programs in lockstep, eager beside compiled: results, gradients, arguments, state, sharing of memory and random numbers are the same."""

from __future__ import annotations

import random
import warnings
from typing import Any

import numpy as np
import pytest

import ascendlite as al
import ascendlite.nn.functional as F
from ascendlite import nn

pytest.importorskip("numba")

PROGRAMS = 24
CALLS = 6
ONE = (
    "({a} * 0.1).exp()", "{a}.tanh()", "{a}.relu()", "F.gelu({a})", "{a}.clamp(-1, 1)", "{a}.softmax(-1)", "F.layer_norm({a}, {a}.shape[-1:])", "{a} + c0",
    "{a} * box['k']", "{a} + lst[0]", "{a}.detach()", "{a} - {a}.mean(-1, keepdim=True)", "al.where({a} > 0.1, {a}, {a} * 0.3)", "{a}.double().float()", "{a} + buf",
    "F.dropout({a}, 0.3, training=mod.training)", "{a} + al.randn({a}.shape)", "{a}.T.contiguous().T", "al.cat([{a}[:1], {a}[1:]])", "{a} * par", "mod({a})",
    "{a}.cumsum(-1)", "{a}.sort(-1)[0]", "{a}.flip(0)", "{a} * ({a} > 0)", "{a}[al.arange({a}.shape[0])]", "({a} if mod.flag else {a} * 2)", "{a}.sum() * {a}",
)
TWO = ("{a} + {b}", "{a} * {b}", "{a} / ({b}.abs() + 1)", "al.minimum({a}, {b})",
       "({a} @ {b}.T) * 0.1", "al.addcmul({a}, {b}, {a}, value=0.5)", "al.lerp({a}, {b}, 0.3)")
IN_PLACE = ("{a}.add_(1)", "{a}[0].mul_(2)", "{a}[:, 1:].add_({b}[:, 1:])", "{a}.copy_({b})", "{a}[0, 0] = 3.0", "{a}.T.add_(1)", "{a}.fill_(0.25)")
EVENTS = ("none", "none", "none", "c0", "box", "lst", "train", "flag", "weight", "parameter", "buffer", "strides", "grad", "alias", "no_grad")


def source(r: random.Random) -> str:
    """A function of two tensors: statements on what came before, then a result."""
    live, made, lines = ["x", "y"], [], []
    for k in range(r.randint(2, 9)):
        a, b = r.choice(live), r.choice(live[-4:])
        kind = r.random()
        if kind < 0.12:
            target = r.choice(made) if made and r.random() < 0.6 else r.choice(["x", "buf"])
            statement = r.choice(IN_PLACE).format(a=target, b=b)
            lines += [statement] if target in made else ["with al.no_grad():", f"    {statement}"]
            continue
        value = r.choice(ONE if kind < 0.65 else TWO).format(a=a, b=b)
        lines.append(f"v{k} = {value}")
        live.append(f"v{k}")
        made.append(f"v{k}")
    results = [live[-1], *(v for v in live if r.random() < 0.2)]
    if r.random() < 0.3:
        lines += [f"loss = {results[0]}.square().mean() + (par * par).sum()", "loss.backward()", "opt.step()", "opt.zero_grad()"]
        results = ["loss.detach()"]
    return "def f(x, y):\n" + "".join(f"    {line}\n" for line in lines) + f"    return [{', '.join(results)}]\n"


class Layer(nn.Module):
    """A layer with a flag, a mode and a counter."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.flag = nn.Linear(4, 4), True
        self.register_buffer("seen", al.zeros(1))

    def forward(self, x: al.Tensor) -> al.Tensor:
        if self.training:
            with al.no_grad():
                self.seen.add_(1)
        return self.linear(x)


def world(text: str, seed: int) -> dict[str, Any]:
    """The globals of a program, with its function `f`."""
    al.manual_seed(seed)
    w: dict[str, Any] = {"al": al, "F": F, "c0": 0.5, "box": {"k": 1.25}, "lst": [0.75], "__name__": "program"}
    w |= {"buf": al.randn(4, 4), "par": al.randn(4, 4, requires_grad=True), "mod": Layer()}
    w["opt"] = al.optim.AdamW([w["par"], *w["mod"].parameters()], lr=0.01)
    exec(compile(text, "<program>", "exec"), w)
    return w


def happen(event: str, w: dict[str, Any], value: float) -> None:
    """What changes in Python between two calls."""
    if event == "c0":
        w["c0"] = value
    elif event in ("box", "lst"):
        w[event]["k" if event == "box" else 0] = value
    elif event == "train":
        w["mod"].train(not w["mod"].training)
    elif event == "flag":
        w["mod"].flag = not w["mod"].flag
    elif event == "weight":
        with al.no_grad():
            w["mod"].linear.weight.mul_(0.5)
    elif event == "parameter":
        w["mod"].linear.bias.requires_grad_(not w["mod"].linear.bias.requires_grad)
    elif event == "buffer":
        w["buf"] = w["buf"].clone()


def arguments(data: np.ndarray, options: dict[str, bool]) -> list[al.Tensor]:
    made = []
    for block in data:
        t = al.tensor(block)
        made.append((t[:, :4].T if options["strides"] else t[:, :4].clone()).detach().requires_grad_(options["grad"]))
    return [made[0], made[0]] if options["alias"] else made


def run(w: dict[str, Any], fn: Any, inputs: list[al.Tensor], grad: bool) -> tuple[list[al.Tensor], str]:
    """Results, and the name of the error that ended it."""
    results: list[al.Tensor] = []
    try:
        with al.set_grad_enabled(grad):
            results = fn(*inputs)
        roots = [t for t in results if t.grad_fn is not None]
        if roots:
            sum((t * 0.5 + t.square() * 0.1).sum() for t in roots).backward()
    except (RuntimeError, IndexError) as error:
        return [], type(error).__name__
    return results, ""


def seen(w: dict[str, Any], inputs: list[al.Tensor], results: list[al.Tensor]) -> tuple[list[al.Tensor | None], Any]:
    """All that can be looked at: tensors with values, and facts that must be equal."""
    state = [w["buf"], w["par"], w["mod"].linear.weight, w["mod"].linear.bias, w["mod"].seen]
    near = [*inputs, *state, *results]
    shares = [[a is b or (a.numel() > 0 and a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()) for b in near] for a in results]
    facts = [(t.shape, t.stride(), t.dtype, t.requires_grad, t.grad_fn is None) for t in near]
    return [*near, *(t.grad for t in (*inputs, *state))], (shares, facts, al.get_rng_state().tolist())


@pytest.mark.parametrize("seed", range(PROGRAMS))
def test_a_random_program_compiled_does_what_it_does_eagerly(seed: int) -> None:
    r = random.Random(seed)
    text = source(r)
    eager, compiled = world(text, seed), world(text, seed)
    pairs = ((eager, eager["f"]), (compiled, al.compile(compiled["f"])))
    options = {"strides": False, "grad": r.random() < 0.5, "alias": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for call in range(CALLS):
            event, value = r.choice(EVENTS), r.choice([0.5, 1.0, -1.0])
            options |= {event: not options[event]} if event in options else {}
            data = np.random.RandomState(seed * CALLS + call).randn(2, 4, 8).astype("float32")
            looks, errors, start = [], [], al.get_rng_state()
            for w, fn in pairs:
                al.set_rng_state(start)
                happen(event, w, value)
                inputs = arguments(data, options)
                results, error = run(w, fn, inputs, event != "no_grad")
                looks.append(seen(w, inputs, results))
                errors.append(error)
            assert errors[0] == errors[1], text
            if errors[0]:
                return
            assert looks[0][1] == looks[1][1], text
            for a, b in zip(looks[1][0], looks[0][0], strict=True):
                assert (a is None) == (b is None), text
                if b is not None:
                    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=2e-4, atol=2e-4, err_msg=text)
