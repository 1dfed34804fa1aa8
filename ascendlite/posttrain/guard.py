"""The guard of a training step: NaN, infinity and spikes are noticed before they reach the weights.

A bad step is computed once more from the same state. A second result that is good is taken (the first was a fault of the
machine); the same bad result again is not applied. So many bad steps in a row end the run with a dump: which tensor, which op.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import cast

from ascendlite import nn
from ascendlite.checkpoint import random_state, set_random_state
from ascendlite.core import Op, Tensor, add_listener, no_grad
from ascendlite.errors import AscendLiteError
from ascendlite.files import replacing
from ascendlite.serialize import save
from ascendlite.structure import Value

_WINDOW = 50  # gradient norms that a spike is measured against
_LEAST = 10  # and how many there must be


class TrainingError(AscendLiteError, RuntimeError):
    """Training can't go on; the message says why and where the dump is."""


@dataclass(frozen=True)
class StepResult:
    """What a computed step came to, before it is applied."""

    loss: float
    grad_norm: float
    stats: dict[str, float] = field(default_factory=dict)
    overflowed: bool = False  # in float16, at a scale of the loss that can still fall

    @property
    def finite(self) -> bool:
        """Whether both numbers are."""
        return math.isfinite(self.loss) and math.isfinite(self.grad_norm)


@dataclass(frozen=True)
class Event:
    """What the guard did about a bad step: "transient" (the second try was good), "skipped", or "scale halved" (and skipped)."""

    step: int
    problem: str
    action: str


@dataclass(frozen=True)
class Culprit:
    """The first op that made NaN (or else infinity) of inputs without it, and the module that it ran in."""

    op: str
    module: str
    problem: str
    shape: tuple[int, ...]
    inputs: tuple[Tensor, ...]
    finite: bool = True

    def __str__(self) -> str:
        shapes = ", ".join(str(tuple(t.shape)) for t in self.inputs) or "none"
        kind = "finite inputs" if self.finite else "inputs with infinity"
        return f"op '{self.op}' in {self.module} gave {self.problem} of shape {self.shape} from {kind} of shapes {shapes}"


class Guard:
    """Decides whether a step is applied."""

    def __init__(self, spike_factor: float, max_bad_steps: int, folder: Path | None) -> None:
        self._factor, self._most, self._folder = spike_factor, max_bad_steps, folder
        self._norms: deque[float] = deque(maxlen=_WINDOW)
        self._bad = 0
        self.events: list[Event] = []

    def problem(self, result: StepResult) -> str | None:
        """What is wrong with a step, in words; None: nothing."""
        if not math.isfinite(result.loss):
            return f"the loss is {result.loss}"
        if not math.isfinite(result.grad_norm):
            return f"the gradient norm is {result.grad_norm}"
        usual = median(self._norms) if len(self._norms) >= _LEAST else math.inf
        if self._factor and result.grad_norm > self._factor * usual:
            return f"the gradient norm {result.grad_norm:.4g} is more than {self._factor:g} times the median {usual:.4g} of the last steps"
        return None

    def run(self, step: int, compute: Callable[[], StepResult], model: nn.Module, batch: Callable[[], Value]) -> StepResult | None:
        """The result to apply; None: skip this step. Raises TrainingError with a dump when too many are bad in a row."""
        before = random_state()
        result = compute()
        if result.overflowed:  # the same again at this scale
            self.events.append(Event(step, "float16 overflowed", "scale halved"))
            return None
        problem = self.problem(result)
        if problem is not None:
            set_random_state(before)
            again = compute()
            if self.problem(again) is not None:
                self._bad_step(step, problem, compute, model, batch, before)
                return None
            self.events.append(Event(step, problem, "transient"))
            result = again
        self._norms.append(result.grad_norm)
        self._bad = 0
        return result

    def _bad_step(
        self, step: int, problem: str, compute: Callable[[], StepResult], model: nn.Module, batch: Callable[[], Value], before: Mapping[str, Value]
    ) -> None:
        self.events.append(Event(step, problem, "skipped"))
        self._bad += 1
        if self._bad < self._most:
            return
        set_random_state(before)
        culprit = find_culprit(compute, model)
        where = "" if self._folder is None else f"; the dump is {dump(self._folder, step, problem, culprit, model, batch())}"
        spoiled = _spoiled(dict(model.named_parameters()))
        cause = (f"; not finite: {', '.join(spoiled[:3])}" if spoiled else "") + (f"; {culprit}" if culprit is not None else "")
        raise TrainingError(f"training: {problem} at step {step}, the same when computed again, {self._bad} bad steps in a row{cause}{where}")

    def state_dict(self) -> dict[str, Value]:
        """What the next decisions depend on."""
        return {"norms": list(self._norms), "bad": self._bad}

    def load_state_dict(self, state: Mapping[str, Value]) -> None:
        """Go on from a state."""
        self._norms = deque(cast("list[float]", state["norms"]), maxlen=_WINDOW)
        self._bad = cast(int, state["bad"])


# ---- finding the op


def _problem_of(t: Tensor) -> str | None:
    if not t.dtype.is_floating_point or t.device.type == "meta" or not t.numel():
        return None
    total = float(t.detach().float().sum().item())  # NaN and infinity survive a sum
    if math.isfinite(total):
        return None
    with no_grad():
        return "NaN" if bool((t.detach() != t.detach()).any().item()) else "infinity" if bool((t.detach().abs() == math.inf).any().item()) else None


class _Watch:
    """A listener that keeps the first culprit; NaN from infinity counts, infinity on purpose (masks) does not."""

    def __init__(self) -> None:
        self.first: Culprit | None = None
        self.first_infinity: Culprit | None = None
        self.modules: list[str] = []
        self._busy = False

    def __call__(self, op: Op, inputs: tuple[object, ...], attrs: tuple[object, ...], outputs: object) -> None:
        if self._busy or self.first is not None:
            return
        self._busy = True
        try:
            self._look(op, [t for t in inputs if isinstance(t, Tensor)], outputs if isinstance(outputs, (tuple, list)) else (outputs,))
        finally:
            self._busy = False

    def _look(self, op: Op, inputs: list[Tensor], outputs: tuple[object, ...] | list[object]) -> None:
        for t in outputs:
            problem = _problem_of(t) if isinstance(t, Tensor) else None
            if problem is None or not isinstance(t, Tensor):
                continue
            known = [_problem_of(i) for i in inputs]
            where = self.modules[-1] if self.modules else "no module (loss or backward)"
            found = Culprit(op.name, where, problem, tuple(t.shape), tuple(inputs), not any(known))
            if problem == "NaN" and "NaN" not in known:
                self.first = found
            elif problem == "infinity" and self.first_infinity is None and not any(known):
                self.first_infinity = found


def find_culprit(compute: Callable[[], object], model: nn.Module) -> Culprit | None:
    """Compute once more, looking at the result of every op."""
    watch = _Watch()
    handles = [remover for name, module in model.named_modules() for remover in _watched(module, name, watch)]
    remove = add_listener(watch)
    try:
        compute()
    finally:
        remove()
        for handle in handles:
            handle.remove()
    return watch.first or watch.first_infinity


def _watched(module: nn.Module, name: str, watch: _Watch) -> tuple[nn.hooks.RemovableHandle, ...]:
    label = f"module '{name or type(module).__name__}'"

    def enter(*_: object) -> None:
        watch.modules.append(label)

    def leave(*_: object) -> None:
        watch.modules.pop()

    return module.register_forward_pre_hook(enter), module.register_forward_hook(leave)


# ---- the dump


def _spoiled(tensors: Mapping[str, Tensor | None]) -> list[str]:
    return [f"{name} ({problem})" for name, t in tensors.items() if t is not None and (problem := _problem_of(t)) is not None]


def dump(folder: Path, step: int, problem: str, culprit: Culprit | None, model: nn.Module, batch: Value) -> Path:
    """Write what is needed to look for the cause: report.json, the batch, the weights, and the inputs of the op."""
    parameters = dict(model.named_parameters())
    report = {
        "step": step,
        "problem": problem,
        "culprit": None if culprit is None else str(culprit),
        "parameters_not_finite": _spoiled(parameters),
        "gradients_not_finite": _spoiled({name: p.grad for name, p in parameters.items()}),
    }
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"dump-step-{step:08}"
    with replacing(target) as aside:
        aside.mkdir()
        (aside / "report.json").write_text(json.dumps(report, indent=2) + "\n")
        save(batch, aside / "batch.safetensors")
        save(model.state_dict(), aside / "model.safetensors")
        if culprit is not None:
            save([t.detach() for t in culprit.inputs], aside / "inputs.safetensors")
    return target
