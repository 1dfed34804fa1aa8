"""A captured call: its programs, what must hold before they run, and how results and gradients are made from what they leave."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from ascendlite.compile.capture import Recording, tensors_in
from ascendlite.compile.events import Ref, reads_of, writes_of
from ascendlite.compile.program import Candidate, CantReplay, Lowering, Report
from ascendlite.core import Tensor, _core
from ascendlite.errors import GradError

Leaf = Callable[[tuple[Tensor, ...], list[Any]], Any]  # makes one value of a result from arguments and storages


class Key:
    """The form of a call: where tensors stand in its arguments, and the values of everything else."""

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.tensors: list[Tensor] = []
        self.objects: list[Any] = []  # what is no tensor, number or container: watched
        self.form: Any
        if not kwargs and _core.only_tensors(args):
            self.form, self.tensors = len(args), list(args)
        else:
            self.form = (self._form(args), self._form(kwargs) if kwargs else ())

    def _form(self, x: Any) -> Any:
        if isinstance(x, Tensor):
            self.tensors.append(x)
            return "tensor"
        if isinstance(x, (tuple, list)):
            return (type(x), *[self._form(item) for item in x])
        if isinstance(x, dict):
            return (dict, *[(k, self._form(v)) for k, v in x.items()])
        if isinstance(x, (bool, int, str, bytes, type(None))):
            return (type(x), x)
        if isinstance(x, float):
            return (float, x.hex())
        self.objects.append(x)
        return ("object", id(x))


class Entry:
    """One captured form of a function."""

    def __init__(self, recording: Recording, key: Key, fusing: bool) -> None:
        r = recording.recorder
        self._recording, self._recorder, self._fusing = recording, r, fusing
        self._arguments = key.tensors
        self.objects = key.objects  # kept alive: their ids are part of the key
        self.state, self.guards = _core.modes(), list(recording.watch.guards)
        self._watched = [t for i, t in recording.watch.tensors.items() if i not in {id(a) for a in key.tensors}]
        self._note_gradients()
        forward, backward = r.events[: recording.boundary], r.events[recording.boundary :]
        saved = self._saved(forward, backward)
        self.results = tensors_in(recording.result)
        kept = [r.reference(t)[0] for t in self.results] + saved + self._gradient_numbers(forward)
        draws = list(r.draws)
        self._check_draws(draws, forward)
        self.lowering = Lowering(r, forward, self.candidates, kept, {}, fusing)
        self.program, parts = self.lowering.build(draws)
        self.parts = [(last, fn, self._gradient_outputs(grads)) for last, fn, grads in parts]
        self.reports = [self.lowering.report(self.program)]
        final = [(t, self._now(t)) for t, _ in r.grads.values()]
        told = {id(t): ref for t, ref in parts[-2][2]} if len(parts) > 1 else {}  # by the last call of an optimizer
        self.gradients = self._gradient_outputs([(t, ref) for t, ref in final if id(t) not in told or told[id(t)] != ref])
        self.backward = None if not recording.roots else Backward(self, recording, backward, saved)
        if self.backward is not None and self.backward.report is not None:
            self.reports.append(self.backward.report)
        self._leaves = iter([self._leaf(t) for t in self.results])
        self.make = self._maker(recording.result)
        del self._recording, self._recorder, self._leaves, self._arguments, self._watched, self.results, self.lowering, self.candidates

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
                    raise CantReplay(f"it touches the gradient of a tensor of shape {t.shape} that can't be found again; pass it as an argument")
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

    def _gradient_outputs(self, pairs: Sequence[tuple[Tensor, Ref | None]]) -> list[tuple[Any, Any]]:
        """(tensor or number of an argument, Output; None: no gradient) where the call changes which gradient there is."""
        places = {id(t): k for k, t in enumerate(self._arguments)}
        watched = {id(t) for t in self._watched}
        made = []
        for t, ref in pairs:
            if id(t) not in places and id(t) not in watched:
                continue
            before = self._recorder.grads[id(t)][1]
            if ref is None and before is None:
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
    def _leaf(self, t: Tensor) -> Leaf:
        r = self._recorder
        for k, a in enumerate(self._arguments):
            if t is a:
                return lambda args, storages, k=k: args[k]  # type: ignore[misc]
        if any(t is w for w in self._watched):
            return lambda args, storages: t
        ref = r.reference(t)
        if ref[0] in r.externals:
            if t.requires_grad:
                raise CantReplay("it returns a view of a tensor from outside, with its gradient")
            output = self._outside(ref)
        elif not ref[0]:
            shape, strides, dtype = t.shape, t.stride(), t.dtype
            return lambda args, storages: _core.empty_strided(shape, strides, dtype=dtype)
        else:
            output = self._output(ref)
        return lambda args, storages: self.program.make(output, storages, args)

    def _outside(self, ref: Ref) -> _core.Output:
        slot, offset = self.lowering.place(ref, False)
        return _core.Output(1 - slot, 0, offset, ref[2], ref[3], ref[4], -1)

    def _maker(self, x: Any) -> Callable[[tuple[Tensor, ...], list[Any]], Any]:
        if isinstance(x, Tensor):
            return next(self._leaves)
        if isinstance(x, (tuple, list)):
            parts = [self._maker(item) for item in x]
            if hasattr(x, "_fields"):
                return lambda a, s: type(x)(*[p(a, s) for p in parts])
            return lambda a, s: type(x)(p(a, s) for p in parts)
        if isinstance(x, dict):
            items = {k: self._maker(v) for k, v in x.items()}
            return lambda a, s: {k: p(a, s) for k, p in items.items()}
        if tensors_in(getattr(x, "__dict__", None)):
            raise CantReplay(f"it returns a {type(x).__name__} that holds tensors")
        return lambda a, s: x

    # -- the call
    def call(self, args: tuple[Tensor, ...]) -> tuple[Any] | None:
        """The result in a tuple; None where the guards do not hold."""
        for k in self.without_gradient:
            if args[k].grad is not None:
                return None
        storages = self.program.call(args, self.state, self.guards, self.parts)
        if storages is None:
            return None
        if self.gradients:
            _core.write_grads(self.gradients, storages, self.program, args)
        result = self.make(args, storages)
        if self.backward is not None:
            self.backward.attach(result, args, storages)
        return (result,)


class Backward:
    """The gradient of a captured function as a program of its own, behind one node."""

    def __init__(self, entry: Entry, recording: Recording, events: Sequence[Any], saved: Sequence[int]) -> None:
        r = recording.recorder
        self.report: Report | None = None
        self.lock = threading.Lock()
        self.spent, self.entry_program = recording.spent, entry.program
        self.places = [k for k, t in enumerate(entry.results) if any(t is root for root in recording.roots)]
        arguments = {id(t): k for k, t in enumerate(entry._arguments)}
        self.leaves: list[Any] = [arguments.get(id(t), t) for t in recording.leaves]
        self.first_seed = len(entry._arguments)
        if self.spent:
            return
        outside = {x[0] for e in events for x in reads_of(e)}
        candidates = [c for c in entry.candidates if not c.of_grad and r.number(c.tensor.untyped_storage()) in outside]
        self.watched: list[Any] = [c.argument if c.argument >= 0 else c.owner for c in candidates]  # must not be written before the gradient is asked for
        candidates += [Candidate(seed, None, self.first_seed + k) for k, seed in enumerate(recording.seeds)]
        self.strides = [seed.stride() for seed in recording.seeds]
        self.saved = [(entry.lowering.kept.index(n), r.sizes[n]) for n in saved]
        given = {n: k for k, n in enumerate(saved)}
        numbers = [r.reference(g)[0] for g in recording.gradients if g is not None]
        first_saved = self.first_seed + len(recording.seeds)
        self.lowering = Lowering(r, events, candidates, numbers, given, entry._fusing, first_saved)
        self.program, self.parts = self.lowering.build([(None, 0)] * len(r.draws))
        self.report = self.lowering.report(self.program)
        self.makers = [None if g is None else self._maker(r, g) for g in recording.gradients]
        self.draws = bool(r.draws)
        del self.lowering  # it holds tensors of the capture
        self.saved_outputs = [_core.Output(slot, size, 0, _core.DTYPE_NAMES["uint8"].code, (size,), (1,), -1) for slot, size in self.saved]

    def _maker(self, r: _core.Recorder, g: Tensor) -> _core.Output:
        ref = r.reference(g)
        if ref[0] in self.lowering.kept:
            return _core.Output(self.lowering.kept.index(ref[0]), r.sizes[ref[0]], ref[1], ref[2], ref[3], ref[4], -1)
        slot, offset = self.lowering.place(ref, False)
        return _core.Output(1 - slot, 0, offset, ref[2], ref[3], ref[4], -1)

    def attach(self, result: Any, args: tuple[Tensor, ...], storages: list[Any]) -> None:
        """Give the results their history: one node that runs the program."""
        found = tensors_in(result)
        roots = tuple(found[k] for k in self.places)
        leaves = tuple(args[x] if isinstance(x, int) else x for x in self.leaves)
        outputs = roots if len(roots) > 1 else roots[0]
        if self.spent:
            _core.custom_node("CompiledBackward", leaves, outputs, _refuse_again)
            return
        kept = tuple(_core.window_on(o, storages[o.slot]) for o in self.saved_outputs)
        meta = [(t.shape, t.dtype) for t in roots]  # a node must not hold its outputs
        versions = [(args[x] if isinstance(x, int) else x)._version for x in self.watched]
        drawn: list[int] = self.entry_program.drawn_numbers() if self.draws else []
        _core.custom_node("CompiledBackward", leaves, outputs, lambda *grads: self._run(grads, args, kept, versions, meta, drawn))

    def _run(self, grads: tuple[Tensor | None, ...], args: tuple[Tensor, ...], kept: tuple[Tensor, ...], versions: list[int],
             meta: list[Any], drawn: list[int]) -> tuple[Tensor | None, ...]:
        if _core.is_grad_enabled():
            raise GradError("CompiledBackward: create_graph=True is not possible through a compiled function; call the function that was compiled")
        for x, version in zip(self.watched, versions, strict=True):
            t = args[x] if isinstance(x, int) else x
            if t._version != version:
                raise GradError(
                    f"one of the variables needed for gradient computation has been modified by an inplace operation: a tensor of shape "
                    f"{list(t.shape)} that a compiled function read is at version {t._version}; expected version {version} instead"
                )
        seeds = []
        for g, (shape, dtype), strides in zip(grads, meta, self.strides, strict=True):
            g = _core.zeros(shape, dtype=dtype) if g is None else g.detach()
            seeds.append(g if g.stride() == strides else _core.empty_strided(shape, strides, dtype=dtype).copy_(g))
        given = (*args, *seeds, *kept)
        with self.lock:  # a program runs for one thread at a time
            self.program.use_draws(drawn)
            if not self.program.fits(given):
                raise GradError("CompiledBackward: a tensor that the function read has another form or place now; call backward before it is changed")
            storages = self.program.run(given, self.parts)
        return tuple(None if m is None else self.program.make(m, storages, given) for m in self.makers)


def _refuse_again(*_: object) -> tuple[None, ...]:
    raise GradError("CompiledBackward: Trying to backward through the graph a second time: the compiled function went backward itself; "
                    "call backward(retain_graph=True) in it")
