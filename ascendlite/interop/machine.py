"""A pickle machine that runs no code: it builds plain containers, and calls only what its table of globals holds.

What we do differently from `pickle.Unpickler`: an opcode that is not in the table is refused; a global is a name in
the caller's table, never an import; items are set in dicts and appended to lists that the machine itself made; sizes are
checked against the bytes that are left before anything is allocated.
"""

from __future__ import annotations

import pickletools
import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ascendlite.errors import FileFormatError

_MARK = object()
_OPCODE_NAMES = {ord(op.code): op.name for op in pickletools.opcodes}
_LONG_BYTES = 16  # integers in state dicts are sizes and counts
_MEMO_PER_BYTE = 1  # an index beyond the program's length can't have been reached by counting


@dataclass(frozen=True)
class Safe:
    """A global that a program may name; `call` None: it may be named, but not called."""

    name: str
    call: Callable[..., object] | None = None
    value: object = None


class Machine:
    """Runs the pickle programs in a block of bytes one after the other; `position` is where the last one ended."""

    def __init__(
        self,
        program: bytes,
        path: str,
        global_table: Mapping[str, Safe],
        persistent: Callable[[object], object],
    ) -> None:
        self.program, self.path, self.position = program, path, 0
        self._globals, self._persistent = global_table, persistent
        self._stack: list[object] = []
        self._memo: dict[int, object] = {}

    def fail(self, what: str) -> FileFormatError:
        """The error for this file, with the place in it."""
        return FileFormatError(f"load_torch: {self.path}: byte {self.position} of the pickle: {what}")

    # -- reading the program
    def take(self, count: int) -> bytes:
        """The next bytes."""
        if count < 0 or count > len(self.program) - self.position:
            raise self.fail(f"{count} bytes are announced, {len(self.program) - self.position} are left; the file is damaged")
        start = self.position
        self.position += count
        return self.program[start : self.position]

    def number(self, form: str) -> int:
        """The next little-endian number of a `struct` format."""
        return int(struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))[0])

    def line(self) -> str:
        """The next text up to a line feed."""
        end = self.program.find(b"\n", self.position, self.position + 1000)
        if end < 0:
            raise self.fail("a name without an end")
        return self.take(end + 1 - self.position)[:-1].decode("utf-8")

    # -- stack and memo
    def push(self, value: object) -> None:
        """Put a value on the stack."""
        self._stack.append(value)

    def pop(self) -> object:
        """Take the top value, which must not be a mark."""
        if not self._stack or self._stack[-1] is _MARK:
            raise self.fail("the stack is empty")
        return self._stack.pop()

    def top(self) -> object:
        """Look at the top value."""
        if not self._stack or self._stack[-1] is _MARK:
            raise self.fail("the stack is empty")
        return self._stack[-1]

    def since_mark(self) -> list[object]:
        """Take all values down to the last mark, and the mark."""
        for k in range(len(self._stack) - 1, -1, -1):
            if self._stack[k] is _MARK:
                items = self._stack[k + 1 :]
                del self._stack[k:]
                return items
        raise self.fail("a mark is missing")

    def put(self, index: int) -> None:
        """Remember the top value."""
        if index > len(self.program) * _MEMO_PER_BYTE:
            raise self.fail(f"the memo index {index} is beyond the program's {len(self.program)} bytes")
        self._memo[index] = self.top()

    def get(self, index: int) -> None:
        """Push a remembered value."""
        if index not in self._memo:
            raise self.fail(f"nothing was remembered under {index}")
        self.push(self._memo[index])

    def memoize(self) -> None:
        """Remember the top value under the next free index."""
        self.put(len(self._memo))

    # -- what is refused, or done with care
    def find(self, name: str) -> None:
        """Push a global of the table."""
        if name not in self._globals:
            raise self.fail(
                f"it asks for {name}, and code from a file is never run; save a state dict (torch.save(model.state_dict(), path)) and "
                f"load that"
            )
        found = self._globals[name]
        self.push(found if found.call is not None or found.value is None else found.value)

    def reduce(self) -> None:
        """Call a global of the table."""
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, Safe) or function.call is None or type(arguments) is not tuple:
            raise self.fail(f"a call of {type(function).__name__}, which is not on the list of safe functions")
        self.push(function.call(*arguments))

    def build(self) -> None:
        """Give an OrderedDict its attributes, as state dicts have `_metadata`; nothing else takes any."""
        state, target = self.pop(), self.top()
        if type(target) is not OrderedDict or type(state) is not dict:
            raise self.fail(f"state for a {type(target).__name__}; only ordered dicts take one")
        if "_metadata" in state:
            target._metadata = state["_metadata"]  # type: ignore[attr-defined]

    def set_items(self, items: list[object]) -> None:
        """Set pairs in the dict on top."""
        target = self.top()
        if type(target) not in (dict, OrderedDict) or len(items) % 2:
            raise self.fail(f"{len(items)} keys and values for a {type(target).__name__}")
        if not all(map(_hashable, items[::2])):
            raise self.fail("a key that is neither a text nor a number")
        target.update(zip(items[::2], items[1::2], strict=True))  # type: ignore[attr-defined]

    def append(self, items: list[object]) -> None:
        """Append to the list on top."""
        target = self.top()
        if type(target) is not list:
            raise self.fail(f"items for a {type(target).__name__}, which is not a list")
        target.extend(items)

    def add(self, items: list[object]) -> None:
        """Add to the set on top."""
        target = self.top()
        if type(target) is not set:
            raise self.fail(f"items for a {type(target).__name__}, which is not a set")
        if not all(map(_hashable, items)):
            raise self.fail("a set with something else than texts and numbers")
        target.update(items)

    def persistent(self, key: object) -> None:
        """Push the storage that a key stands for."""
        self.push(self._persistent(key))

    def long(self, count: int) -> None:
        """Push an integer of `count` bytes."""
        if count < 0 or count > _LONG_BYTES:
            raise self.fail(f"an integer of {count} bytes; at most {_LONG_BYTES} are read")
        self.push(int.from_bytes(self.take(count), "little", signed=True))

    def text(self, count: int) -> None:
        """Push a string of `count` bytes."""
        self.push(self.take(count).decode("utf-8", "surrogatepass"))

    def tuple_of(self, count: int) -> None:
        """Push a tuple of the top values."""
        self.push(tuple([self.pop() for _ in range(count)][::-1]))

    def stack_global(self) -> None:
        """Push the global whose module and name are on the stack."""
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise self.fail("a global whose name is no text")
        self.find(f"{module}.{name}")

    def protocol(self) -> None:
        """Check the protocol's number."""
        number = self.number("B")
        if number > 5:
            raise self.fail(f"pickle protocol {number}; 0 to 5 are known")

    def run(self) -> object:
        """The value of the next program."""
        self._stack, self._memo = [], {}
        while True:
            code = self.take(1)[0]
            if code == ord("."):
                value = self.pop()
                if self._stack:
                    raise self.fail(f"{len(self._stack)} values are left on the stack")
                return value
            action = _ACTIONS.get(_OPCODE_NAMES.get(code, ""))
            if action is None:
                raise self.fail(f"opcode {_OPCODE_NAMES.get(code, code)} is not allowed here")
            action(self)


def _hashable(key: object) -> bool:
    # Flat only: the hash of a tuple nested 100,000 deep overflows the C stack.
    plain = (str, int, float, bool, bytes, type(None))
    return type(key) in plain or (type(key) is tuple and all(type(part) in plain for part in key))


def _set_item(m: Machine) -> None:
    value, key = m.pop(), m.pop()
    m.set_items([key, value])


def _dict(m: Machine) -> None:
    items = m.since_mark()
    m.push({})
    m.set_items(items)


_ACTIONS: dict[str, Callable[[Machine], object]] = {
    "PROTO": Machine.protocol,
    "FRAME": lambda m: m.number("Q"),  # a hint for buffered readers; the bytes are all here
    "MARK": lambda m: m.push(_MARK),
    "POP": Machine.pop,
    "NONE": lambda m: m.push(None),
    "NEWTRUE": lambda m: m.push(True),
    "NEWFALSE": lambda m: m.push(False),
    "BININT": lambda m: m.push(m.number("i")),
    "BININT1": lambda m: m.push(m.number("B")),
    "BININT2": lambda m: m.push(m.number("H")),
    "LONG1": lambda m: m.long(m.number("B")),
    "LONG4": lambda m: m.long(m.number("i")),
    "BINFLOAT": lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
    "SHORT_BINUNICODE": lambda m: m.text(m.number("B")),
    "BINUNICODE": lambda m: m.text(m.number("I")),
    "BINUNICODE8": lambda m: m.text(m.number("Q")),
    "SHORT_BINBYTES": lambda m: m.push(m.take(m.number("B"))),
    "BINBYTES": lambda m: m.push(m.take(m.number("I"))),
    "SHORT_BINSTRING": lambda m: m.push(m.take(m.number("B")).decode("latin-1")),
    "EMPTY_TUPLE": lambda m: m.push(()),
    "TUPLE1": lambda m: m.tuple_of(1),
    "TUPLE2": lambda m: m.tuple_of(2),
    "TUPLE3": lambda m: m.tuple_of(3),
    "TUPLE": lambda m: m.push(tuple(m.since_mark())),
    "EMPTY_LIST": lambda m: m.push([]),
    "LIST": lambda m: m.push(m.since_mark()),
    "APPEND": lambda m: m.append([m.pop()]),
    "APPENDS": lambda m: m.append(m.since_mark()),
    "EMPTY_DICT": lambda m: m.push({}),
    "DICT": _dict,
    "SETITEM": _set_item,
    "SETITEMS": lambda m: m.set_items(m.since_mark()),
    "EMPTY_SET": lambda m: m.push(set()),
    "ADDITEMS": lambda m: m.add(m.since_mark()),
    "BINPUT": lambda m: m.put(m.number("B")),
    "LONG_BINPUT": lambda m: m.put(m.number("I")),
    "MEMOIZE": Machine.memoize,
    "BINGET": lambda m: m.get(m.number("B")),
    "LONG_BINGET": lambda m: m.get(m.number("I")),
    "GLOBAL": lambda m: m.find(f"{m.line()}.{m.line()}"),
    "STACK_GLOBAL": Machine.stack_global,
    "REDUCE": Machine.reduce,
    "BUILD": Machine.build,
    "BINPERSID": lambda m: m.persistent(m.pop()),
}
