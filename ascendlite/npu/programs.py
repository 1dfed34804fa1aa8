"""`@npu.kernel`: a Python function becomes programs, one for each kind of call, which are checked, timed and run.

A program is made once for the formats and shapes of the tensors, the values of everything else, the number of blocks and the chip. Floats are
given at each launch: only the value of one that the kernel's Python looks at (`if s > 0`, `math.exp(s)`) is a constant of the program, too.
"""

from __future__ import annotations

import inspect
import operator
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, ParamSpec, overload

from ascendlite import _davinci
from ascendlite.errors import ArgumentError
from ascendlite.npu import chips
from ascendlite.npu.arguments import CallArguments, address, is_tensor, plain_look
from ascendlite.npu.checker import CheckResult, Sharing
from ascendlite.npu.chips import Chip
from ascendlite.npu.errors import KernelError, Site
from ascendlite.npu.lang.buffers import Buffer, named
from ascendlite.npu.lang.capacity import check_capacity
from ascendlite.npu.lang.mistakes import located
from ascendlite.npu.lang.real import Recipe, Variants, words
from ascendlite.npu.lang.trace import Tracer, tracing
from ascendlite.npu.lang.unrolled import with_unrolling
from ascendlite.npu.proof import may_run, proof, sharing_of
from ascendlite.npu.surroundings import Surroundings

if TYPE_CHECKING:
    from ascendlite.npu.timeline import Timeline

P = ParamSpec("P")
KINDS = {"aic": 0, "aiv": 1, "mix": 2}  # ProgramKind
MOST_BLOCKS = 65535  # of a launch, as on the card
_LOCK = threading.RLock()  # one trace at a time
_SETTINGS = threading.local()


@dataclass(frozen=True, slots=True)
class Traced:
    """A program with what its messages and its clock need: the lines it came from, its buffers, its launch."""

    program: _davinci.Program
    executor: _davinci.Executor
    name: str
    kind: str
    blocks: int
    chip: Chip
    sites: tuple[Site, ...]
    buffers: Mapping[str, tuple[Buffer, ...]]  # by kind of core; a region's `tensor` is an index into them
    arguments: tuple[str, ...]  # names of the tensor arguments, in order
    words: Mapping[str, tuple[int, ...]]  # expressions, and the code of either kind of core
    names: tuple[str, ...]  # of the instructions, by opcode
    past_l2: tuple[int, ...] = ()  # arguments whose writes go around the cache
    written: tuple[int, ...] = ()  # arguments that it writes to
    parameters: tuple[Recipe, ...] = ()  # what a launch computes from the call's floats
    looked: set[int] = field(default_factory=set, compare=False)  # which of these floats the program is made for
    proofs: dict[Sharing, CheckResult] = field(default_factory=dict, compare=False)  # of this program, filled as it is launched

    def run(self, pointers: list[int], mode: int = 0, options: int = 0) -> bool:
        """Executes all blocks on tensors at these addresses, which the words of parameters may follow; whether a number overflowed."""
        return bool(self.executor.run(self.blocks, pointers, mode, options))


def sharing(tensors: list[Any]) -> Sharing:
    """Which of a call's tensors share memory; those of meta have none."""
    return sharing_of([(address(t), 0 if getattr(t, "is_meta", False) else int(t.nbytes)) for t in tensors])


def check_writable(traced: Traced, tensors: list[Any]) -> None:
    """Raises for an array of NumPy's that the kernel writes to and must not."""
    for i in traced.written:
        if not getattr(getattr(tensors[i], "flags", None), "writeable", True):
            raise ArgumentError(f"kernel {traced.name}: it writes to {traced.arguments[i]}, which is a read-only array; pass a copy of it")


class Call(NamedTuple):
    """A call of a kernel: its program, its tensors, the words of its parameters."""

    traced: Traced
    tensors: list[Any]
    parameters: list[int]


class Kernel(Generic[P]):
    """A kernel: call it to run it on all cores of its kind, or `kernel[blocks](...)` on so many blocks.

    `check`, `trace`, `dump` and `time` take the arguments of such a call and run nothing:

    >>> import numpy as np, ascendlite.npu as npu, ascendlite.npu.ascendc as ac
    >>> @npu.kernel
    ... def double(x, y, n):
    ...     t = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(x.dtype, n)
    ...     ac.DataCopy(t, ac.GlobalTensor(x), n)
    ...     ac.SetFlag(ac.HardEvent.MTE2_V, 0); ac.WaitFlag(ac.HardEvent.MTE2_V, 0)
    ...     ac.Adds(t, t, 1.0, n)
    ...     ac.DataCopy(ac.GlobalTensor(y), t, n)  # a race: nothing waits for V
    >>> x, y = np.ones(4096, np.float32), np.empty(4096, np.float32)
    >>> [finding.rule for finding in double[1].check(x, y, 4096).errors]
    ['R16']
    >>> program = double[1].trace(x, y, 4096)
    >>> program.blocks, program.arguments, program.names
    (1, ('x', 'y'), ('DataCopy', 'SetFlag', 'WaitFlag', 'Adds'))
    >>> print(double[1].dump(x, y, 4096))
    double: aiv, 1 blocks, ...; tensors: x, y
    aiv:
      MTE2 DataCopy          >UB:t[0, 16384) f32  <x[0, 16384) f32  ...
      ...
    >>> timeline = double[1].time(x, y, 4096)  # print(timeline.report()), timeline.png(path), .html(path), .perfetto(path)
    >>> 1 < timeline.us < 5, timeline.bound.name, timeline.cycles("V")
    (True, 'latency', 136)
    """

    def __init__(self, function: Callable[P, None], kind: str) -> None:
        if kind not in KINDS:
            raise ArgumentError(f"kernel: kind is {kind!r}; it must be one of {', '.join(KINDS)}")
        if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
            raise ArgumentError(f"kernel: {function.__name__} has a yield or an await, and would do nothing when called; write a plain function")
        self.function, self.kind = function, kind
        self.signature = inspect.signature(function)
        self.__name__, self.__doc__, self.__module__ = function.__name__, function.__doc__, function.__module__
        self._outside: Surroundings | None = None
        self._programs: dict[object, Variants[Traced]] = {}
        self._seen: dict[object, Variants[tuple[Traced, tuple[int, ...]]]] = {}  # by the plain look of a call: its program, where its tensors are

    def __repr__(self) -> str:
        return f"<kernel {self.__name__} ({self.kind})>"

    def __getitem__(self, launch: int | tuple[int, Any]) -> Launch[P]:
        blocks, stream = launch if isinstance(launch, tuple) else (launch, None)
        try:
            return Launch(self, operator.index(blocks), stream)
        except TypeError:
            raise ArgumentError(f"kernel {self.__name__}: {blocks!r} blocks; it takes an integer, as kernel[blocks](...)") from None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Run on all cores of the kernel's kind."""
        Launch(self, None, None)(*args, **kwargs)

    def trace(self, *args: P.args, **kwargs: P.kwargs) -> Traced:
        """The program for such a call: what is checked, timed and run. See the class for an example."""
        return Launch(self, None, None).trace(*args, **kwargs)

    def check(self, *args: P.args, **kwargs: P.kwargs) -> CheckResult:
        """What the hazard check finds in the program for such a call. Nothing is raised; print it. See the class for an example."""
        return Launch(self, None, None).check(*args, **kwargs)

    def dump(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """The program for such a call as text, one instruction a line. See the class for an example."""
        return Launch(self, None, None).dump(*args, **kwargs)

    def time(self, *args: P.args, **kwargs: P.kwargs) -> Timeline:
        """When such a call's pipes work and wait: `.us`, `.report()`, pictures. Nothing runs; tensors' data does not matter. See the class."""
        return Launch(self, None, None).time(*args, **kwargs)

    def program(self, blocks: int | None, chip: Chip, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """The program for a call, made now if it is new, and what it is launched with."""
        floats: list[float] = []
        look = None if kwargs else plain_look(args, floats)
        if look is None:
            return self._program(blocks, chip, args, kwargs)[0]
        seen = self._seen.setdefault((blocks, chip, look, self._surroundings().values()), Variants())
        known = seen.get(floats)
        if known is None:
            call, looked = self._program(blocks, chip, args, kwargs)
            at = tuple(i for i, value in enumerate(args) if is_tensor(value))
            if len(at) == len(call.tensors):  # none of them is a default
                seen.put(floats, looked, (call.traced, at))
            return call
        traced, at = known
        return Call(traced, [args[i] for i in at], words(traced.parameters, floats))

    def _surroundings(self) -> Surroundings:
        """The kernel's global and enclosing variables."""
        if self._outside is None:
            self._outside = Surroundings(self.function)
        return self._outside

    def _program(self, blocks: int | None, chip: Chip, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Call, set[int]]:
        bound = self.signature.bind(*args, **kwargs)
        given = frozenset(bound.arguments)
        bound.apply_defaults()
        count = cores(self.kind, chip) if blocks is None else blocks
        call = CallArguments(key=[chip, count]).take(bound.arguments, given)
        variants = self._programs.setdefault((*call.key, self._surroundings().values()), Variants())
        found = variants.get(call.floats.values)
        if found is None:
            with _LOCK:
                bound.arguments.update(call.values)
                found = trace(self.function, self.kind, count, chip, bound, call, self._surroundings().written)
                variants.put(call.floats.values, found.looked, found)
        return Call(found, call.tensors, words(found.parameters, call.floats.values)), found.looked


def trace(function: Callable[..., None], kind: str, blocks: int, chip: Chip, bound: inspect.BoundArguments, call: CallArguments,
          writes: bool) -> Traced:
    """Runs the function for each kind of core and class of blocks and makes its program. writes: it assigns to global variables.

    A range of Python's over what depends on the block has expressions as its indices. Where the function does not get on with them (it divides them
    by `/`, say), it is traced again with integers, for each block of its own.
    """
    if not 1 <= blocks <= MOST_BLOCKS:
        raise ArgumentError(f"kernel {function.__name__}: {blocks} blocks; it takes 1 to {MOST_BLOCKS}, as kernel[blocks](...)")
    tracer = Tracer(chip, blocks, kind, call.floats)
    try:
        return _traced(tracer, function.__name__, function if writes else with_unrolling(function), bound, call)
    except Exception:
        if not tracer.unrolled:
            raise
    return _traced(Tracer(chip, blocks, kind, call.floats), function.__name__, function, bound, call)


def _traced(tracer: Tracer, name: str, function: Callable[..., None], bound: inspect.BoundArguments, call: CallArguments) -> Traced:
    kind = tracer.kind
    buffers: dict[str, Iterable[Buffer]] = {}
    constants = ", ".join(f"{n}={v}" for n, v in call.values.items() if isinstance(v, int))

    def body() -> None:
        with located():
            function(*bound.args, **bound.kwargs)
        check_capacity(tracer, name, constants)
        buffers[tracer.core] = tracer.buffers

    kinds = ("aic", "aiv") if kind == "mix" else (kind,)
    with tracing(tracer):
        code = {core: tracer.classes(core, body) for core in kinds}
    pieces = {core: named(found) for core, found in buffers.items()}
    code_words = {"expressions": tuple(tracer.table.words), **{core: tuple(w) for core, w in code.items()}}
    program = _davinci.Program(name, KINDS[kind], tracer.declarations(), tracer.table.words, code.get("aic", []), code.get("aiv", []),
                               call.sizes, tracer.deepest_loops, tracer.deepest_scalars)
    program.tell([f"{site.place}   {site.text}" for site in tracer.sites], [b.name for b in pieces.get("aiv", ())])
    return Traced(program, _davinci.Executor(program), name, kind, tracer.blocks, tracer.chip, tuple(tracer.sites), pieces, tuple(call.names), code_words,
                  tuple(tracer.opcodes), tuple(sorted(tracer.past_l2)), tuple(sorted(tracer.written)), tuple(call.floats.recipes), call.floats.looked)


class Launch(Generic[P]):
    """A kernel with its number of blocks and its stream."""

    def __init__(self, kernel: Kernel[P], blocks: int | None, stream: Any) -> None:
        self.kernel, self.blocks, self.stream = kernel, blocks, stream

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Run. Tensors of the device: on the stream (the current one unless given), its clock and its profiler; arrays of the host: just run."""
        traced, tensors, parameters = self.kernel.program(self.blocks, chip(), args, kwargs)
        if not may_run(traced, sharing(tensors)):
            return
        if self.stream is None and not any(getattr(t, "is_npu", False) or getattr(t, "is_meta", False) for t in tensors):
            from ascendlite.npu.runtime.device import state

            check_writable(traced, tensors)
            if traced.run([address(t) for t in tensors] + parameters, options=int(state.saturates(traced.chip))):
                state.overflow = True
            return
        from ascendlite.npu.runtime.launch import launch_own

        launch_own(traced, tensors, self.stream, parameters)

    def call(self, *args: P.args, **kwargs: P.kwargs) -> Call:
        """The program for such a call, and what it is launched with."""
        return self.kernel.program(self.blocks, chip(), args, kwargs)

    def trace(self, *args: P.args, **kwargs: P.kwargs) -> Traced:
        """The program for such a call."""
        return self.kernel.program(self.blocks, chip(), args, kwargs).traced

    def check(self, *args: P.args, **kwargs: P.kwargs) -> CheckResult:
        """What the hazard check finds in the program for such a call. Nothing is raised; print it."""
        traced, tensors, _ = self.kernel.program(self.blocks, chip(), args, kwargs)
        return proof(traced, sharing(tensors))

    def dump(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """The program for such a call as text, one instruction a line."""
        from ascendlite.npu.listing import listing

        return listing(self.trace(*args, **kwargs))

    def time(self, *args: P.args, **kwargs: P.kwargs) -> Timeline:
        """When such a call's pipes work and wait, by the clock."""
        from ascendlite.npu.timeline import timed

        return timed(self.trace(*args, **kwargs))


@overload
def kernel(function: Callable[..., None]) -> Kernel[...]: ...


@overload
def kernel(*, kind: str = "aiv") -> Callable[[Callable[..., None]], Kernel[...]]: ...


def kernel(function: Callable[..., None] | None = None, *, kind: str = "aiv") -> Kernel[...] | Callable[[Callable[..., None]], Kernel[...]]:
    """Makes a kernel of a function in the kernel language. kind: "aiv" (vector cores), "aic" (cube cores), "mix" (groups of 1 and 2).

    >>> import numpy as np, ascendlite.npu as npu, ascendlite.npu.ascendc as ac
    >>> @npu.kernel(kind="aiv")
    ... def double(x, y, n):
    ...     t = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(x.dtype, n)
    ...     ac.DataCopy(t, ac.GlobalTensor(x), n)
    ...     ac.SetFlag(ac.HardEvent.MTE2_V, 0); ac.WaitFlag(ac.HardEvent.MTE2_V, 0)
    ...     ac.Adds(t, t, 1.0, n)
    ...     ac.SetFlag(ac.HardEvent.V_MTE3, 0); ac.WaitFlag(ac.HardEvent.V_MTE3, 0)
    ...     ac.DataCopy(ac.GlobalTensor(y), t, n)
    >>> x, y = np.ones(16, np.float32), np.empty(16, np.float32)
    >>> double[1](x, y, 16)
    >>> y[:3].tolist()
    [2.0, 2.0, 2.0]
    """
    if function is None:
        return lambda f: Kernel(f, kind)
    return Kernel(function, kind)


def cores(kind: str, on: Chip | None = None) -> int:
    """How many blocks of a kind run at once: cube cores, vector cores, or groups of them."""
    on = on or chip()
    if kind not in KINDS:
        raise ArgumentError(f"cores: kind is {kind!r}; it must be one of {', '.join(KINDS)}")
    return on.aiv if kind == "aiv" else on.aic


def chip() -> Chip:
    """The chip that kernels are written for at the moment."""
    from ascendlite.npu.runtime.device import state

    chosen: Chip | None = getattr(_SETTINGS, "chip", None)
    return chosen or state.chip


@contextmanager
def on_chip(name: str | Chip) -> Iterator[Chip]:
    """Kernels of this block are made for that chip."""
    before = getattr(_SETTINGS, "chip", None)
    _SETTINGS.chip = chips.load(name)
    try:
        yield _SETTINGS.chip
    finally:
        _SETTINGS.chip = before


__all__ = ["Kernel", "KernelError", "Launch", "Traced", "address", "chip", "cores", "kernel", "on_chip"]
