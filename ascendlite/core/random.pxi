# Generators: a Philox key and a counter. Kernels draw element i from (seed, offset + i), so threads can't change a bit.

@cython.final
cdef class Generator:
    """A source of random numbers: `seed` is the key, `offset` how many 128-bit counters were used.

    >>> g = al.Generator().manual_seed(0)
    >>> al.rand(2, generator=g).shape
    (2,)
    """
    cdef uint64_t seed_
    cdef uint64_t offset
    cdef readonly Device device

    def __init__(self, device="cpu"):
        self.device = device if isinstance(device, Device) else Device(device)
        self.seed_ = 67280421310721

    def manual_seed(self, seed):
        """Start the sequence of `seed` (any 64-bit integer; negative ones wrap, as in torch)."""
        seed = operator.index(seed)
        if not -2**63 <= seed < 2**64:
            raise ArgumentError(f"manual_seed: expected a 64-bit integer, got {seed}")
        self.refuse("manual_seed")
        self.seed_, self.offset = <uint64_t>(seed % 2**64), 0
        return self

    def seed(self):
        """Start from a seed of the operating system; returns it."""
        import secrets
        value = secrets.randbits(63)
        self.manual_seed(value)
        return value

    def initial_seed(self):
        return self.seed_

    cdef refuse(self, str what):
        if mode.recording:
            RECORDER.refuse(what + " of a generator")

    def get_state(self):
        """The state as a uint8 tensor of 16 bytes."""
        self.refuse("get_state")
        cdef Tensor t = empty_tensor((16,), kUInt8, CPU)
        memcpy(t.v.data, &self.seed_, 8)
        memcpy(t.v.data + 8, &self.offset, 8)
        return t

    def set_state(self, Tensor new_state not None):
        """Go back to a state from `get_state`."""
        self.refuse("set_state")
        if new_state.v.dtype != kUInt8 or new_state.count != 16 or new_state.device_ != CPU:
            raise ArgumentError(f"set_state: expected a uint8 tensor of 16 bytes from get_state(), got {shape_tuple(new_state)} of {DTYPES[new_state.v.dtype]!r}")
        cdef Tensor t = new_state if new_state.dense else contiguous_copy(new_state)
        memcpy(&self.seed_, t.v.data, 8)
        memcpy(&self.offset, t.v.data + 8, 8)
        return self

    def clone_state(self):
        """A generator of its own in the same state."""
        return Generator(self.device).set_state(self.get_state())

    def __reduce__(self):
        return (_generator_from, (bytes(self.get_state().tolist()),))


def _generator_from(bytes state):
    return Generator().set_state(tensor(list(state), dtype=DTYPES[kUInt8]))


default_generator = Generator()


def next_philox(generator, count):
    """(seed, offset) for `count` counters of 128 bits, which are used up. None: the default generator. Both fit in int64."""
    cdef Generator g = default_generator if generator is None else <Generator?>generator
    cdef uint64_t offset = g.offset
    cdef tuple drawn = RECORDER.draw(g, count) if mode.recording else None
    g.offset += <uint64_t>count
    return (<int64_t>g.seed_, <int64_t>offset) if drawn is None else drawn
