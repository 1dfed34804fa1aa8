"""A captured call: its programs, what must hold before they run, and how results and gradients are made from what they leave."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import Any

from ascendlite.compile.capture import Recording, tensors_in
from ascendlite.compile.events import Ref, reads_of, writes_of
from ascendlite.compile.program import Candidate, CantReplay, Lowering
from ascendlite.core import Tensor, _core


class Entry(_core.Form):
    """One captured form of a function."""

    def __init__(self, recording: Recording, key: _core.Key, fusing: bool) -> None:
        r = recording.recorder
        self._recording, self._recorder, self._fusing = recording, r, fusing
        self._arguments: list[Tensor] = list(key.tensors)
        self.objects = key.objects  # kept alive: their ids are part of the key
        self.state, self.guards = _core.modes(), list(recording.watch.guards)
        self._watched = [t for i, t in recording.watch.tensors.items() if i not in {id(a) for a in key.tensors}]
        self._note_gradients()
        forward, backward = r.events[: recording.boundary], r.events[recording.boundary :]
        saved = self._saved(forward, backward)
        self.results = distinct(tensors_in(recording.result))
        kept = [r.reference(t)[0] for t in self.results] + saved + self._gradient_numbers(forward)
        draws = list(r.draws)
        self._check_draws(draws, forward)
        self.lowering = Lowering(r, forward, self.candidates, kept, {}, fusing)
        self.program, parts = self.lowering.build(draws)
        self.parts = [(last, fn, self._gradient_outputs(grads)) for last, fn, grads in parts]
        self.reports = [self.lowering.report(self.program)]
        final = [(t, self._now(t)) for t, _ in r.grads.values()]
        told = {id(t): ref for t, ref in parts[-2][2]} if len(parts) > 1 else {}  # by the last call of an optimizer
        self.gradients = self._gradient_outputs([(t, ref) for t, ref in final if id(t) not in told or told[id(t)] != ref], set(told))
        self.leaves = [self._leaf(t) for t in self.results]
        self.recipe = self._recipe(recording.result)
        if recording.roots:
            self.graph = gradient_of(self, recording, backward, saved)
        del self._recording, self._recorder, self._arguments, self._watched, self.results, self.lowering, self.candidates

    # -- before
    def _note_gradients(self) -> None:
        """Candidates for memory from outside: arguments, watched tensors, gradients that were there."""
        places = {id(t): k for k, t in enumerate(self._arguments)}
        self.candidates = [Candidate(t, None, k) for k, t in enumerate(self._arguments)]
        self.candidates += [Candidate(t, t) for t in self._watched]
        self.without_gradient: list[int] = []
        known = {id(t) for t in (*self._arguments, *self._watched)}
        for t, before in self._recorder.grads.values():
            if id(t) not in known:
                if not self._recorder.is_new(t.untyped_storage()):
                    raise CantReplay(f"it touches the gradient of a tensor of shape {tuple(t.shape)} that can't be found again; pass it as an argument")
                continue
            argument = places.get(id(t), -1)
            if before is not None:
                self.candidates.append(Candidate(before, None if argument >= 0 else t, argument, True))
            elif argument >= 0:
                self.without_gradient.append(argument)
            else:
                self.guards.append(_core.Guard("attribute", t, "grad", None, False, "a gradient"))

    def _saved(self, forward: Sequence[Any], backward: Sequence[Any]) -> list[int]:
        """Storages that the function made and its gradient reads."""
        r = self._recorder
        made = {w[0] for e in forward for w in writes_of(e) if w[0] not in r.externals}
        if any(w[0] in made or w[0] in r.externals for e in backward for w in writes_of(e)):
            raise CantReplay("its gradient writes over what the function made")
        if any(e[0] == "host" for e in backward):
            raise CantReplay("its gradient calls an optimizer")
        return list(dict.fromkeys(x[0] for e in backward for x in reads_of(e) if x[0] and x[0] in made))

    def _check_draws(self, draws: Sequence[Any], forward: Sequence[Any]) -> None:
        found = {d[1] for e in forward if e[0] == "kernel" for d in e[6]}
        if found != set(range(len(draws))):
            raise CantReplay("it draws random numbers in a way that can't be followed")

    # -- gradients that the function leaves in `.grad`
    def _now(self, t: Tensor) -> Ref | None:
        return None if t.grad is None else self._recorder.reference(t.grad)

    def _gradient_numbers(self, events: Sequence[Any]) -> list[int]:
        found = [ref[0] for e in events if e[0] == "host" for _, ref in e[2] if ref is not None]
        return found + [ref[0] for ref in (self._now(t) for t, _ in self._recorder.grads.values()) if ref is not None]

    def _gradient_outputs(self, pairs: Sequence[tuple[Tensor, Ref | None]], set_before: Collection[int] = ()) -> list[tuple[Any, Any]]:
        """(tensor or number of an argument, Output; None: no gradient) where the call changes which gradient there is.

        `set_before`: ids of tensors to whom the call has given a gradient already.
        """
        places = {id(t): k for k, t in enumerate(self._arguments)}
        watched = {id(t) for t in self._watched}
        made = []
        for t, ref in pairs:
            if id(t) not in places and id(t) not in watched:
                continue
            before = self._recorder.grads[id(t)][1]
            if ref is None and before is None and id(t) not in set_before:
                continue
            if ref is not None and ref[0] in self._recorder.externals:
                if before is None or self._recorder.number(before.untyped_storage()) != ref[0]:
                    raise CantReplay("it shares a gradient with a tensor from outside")
                continue
            made.append((places.get(id(t), t), None if ref is None else self._output(ref)))
        return made

    def _output(self, ref: Ref) -> _core.Output:
        slot = self.lowering.kept.index(ref[0])
        return _core.Output(slot, self._recorder.sizes[ref[0]], ref[1], ref[2], ref[3], ref[4], -1)

    # -- results
    def _leaf(self, t: Tensor) -> Any:
        """A tensor of the result, as the core makes it."""
        r = self._recorder
        for k, a in enumerate(self._arguments):
            if t is a:
                return k
        if any(t is w for w in self._watched):
            return t
        ref = r.reference(t)
        if t.requires_grad and t.grad_fn is None:
            raise CantReplay("it returns a tensor that it made and that requires a gradient itself")
        if ref[0] in r.externals:
            if t.requires_grad:
                raise CantReplay("it returns a view of a tensor from outside, with its gradient")
            return self._outside(ref)
        return self._output(ref) if ref[0] else (t.shape, t.stride(), t.dtype)

    def _outside(self, ref: Ref) -> _core.Output:
        return outside(self.lowering, ref)

    def _recipe(self, x: Any) -> _core.Recipe:
        if isinstance(x, Tensor):
            return _core.Recipe(leaf=next(k for k, t in enumerate(self.results) if t is x))
        if isinstance(x, (tuple, list)):
            return _core.Recipe(kind=type(x), parts=[self._recipe(item) for item in x])
        if type(x) in (dict, OrderedDict):
            return _core.Recipe(kind=type(x), keys=list(x), parts=[self._recipe(item) for item in x.values()])
        if tensors_in(getattr(x, "__dict__", None)) or tensors_in(x):
            raise CantReplay(f"it returns a {type(x).__name__} that holds tensors")
        return _core.Recipe(constant=x)


def distinct(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Each tensor once, in order."""
    return list({id(t): t for t in tensors}.values())


def outside(lowering: Lowering, ref: Ref) -> _core.Output:
    """A window on memory from outside."""
    slot, offset = lowering.place(ref, False)
    return _core.Output(1 - slot, 0, offset, ref[2], ref[3], ref[4], -1)


def gradient_of(entry: Entry, recording: Recording, events: Sequence[Any], saved: Sequence[int]) -> _core.Gradient:
    """The gradient of a captured function as a program of its own."""
    r = recording.recorder
    made = _core.Gradient()
    made.spent, made.forward = recording.spent, entry.program
    made.roots = [k for k, t in enumerate(entry.results) if any(t is root for root in recording.roots)]
    arguments = {id(t): k for k, t in enumerate(entry._arguments)}
    made.leaves = [arguments.get(id(t), t) for t in recording.leaves]
    if made.spent:
        return made
    seeds, first_seed = recording.seeds, len(entry._arguments)
    read = {x[0] for e in events for x in reads_of(e)}
    candidates = [c for c in entry.candidates if not c.of_grad and r.number(c.tensor.untyped_storage()) in read]
    made.watched = [c.argument if c.argument >= 0 else c.owner for c in candidates]
    candidates += [Candidate(seed, None, first_seed + k) for k, seed in enumerate(seeds)]
    made.strides = [seed.stride() for seed in seeds]
    bytes_ = _core.DTYPE_NAMES["uint8"].code
    made.saved = [_core.Output(entry.lowering.kept.index(n), r.sizes[n], 0, bytes_, (r.sizes[n],), (1,), -1) for n in saved]
    found = [None if g is None else r.reference(g) for g in recording.gradients]
    lowering = Lowering(r, events, candidates, [ref[0] for ref in found if ref is not None], {n: k for k, n in enumerate(saved)},
                        entry._fusing, first_seed + len(seeds))
    made.program, parts = lowering.build([(None, 0)] * len(r.draws))
    made.parts = list(parts)
    entry.reports.append(lowering.report(made.program))
    made.makers = [None if ref is None else _gradient_maker(lowering, r, ref) for ref in found]
    return made


def _gradient_maker(lowering: Lowering, r: _core.Recorder, ref: Ref) -> _core.Output:
    if ref[0] in lowering.kept:
        return _core.Output(lowering.kept.index(ref[0]), r.sizes[ref[0]], ref[1], ref[2], ref[3], ref[4], -1)
    return outside(lowering, ref)
