"""Recurrent layers over whole sequences: one op for all steps, with a gradient that runs back in time.

16-bit inputs are computed in float32 throughout, as everywhere. Gates are torch's, in its order: LSTM i f g o, GRU r z n.
"""

from __future__ import annotations

from ascendlite.core import Op, Tensor, float32, grad, is_grad_enabled, zeros
from ascendlite.errors import ArgumentError, DTypeError, ShapeError
from ascendlite.ops.activation import relu
from ascendlite.ops.matmul import linear
from ascendlite.ops.movement import cat, stack
from ascendlite.ops.pointwise import sigmoid, tanh

# Name: number in the kernel, gates, what is kept of a step; the latter two in units of the hidden size.
MODES = {"RNN_TANH": (0, 1, 0), "RNN_RELU": (1, 1, 0), "LSTM": (2, 4, 4), "GRU": (3, 3, 4)}
_TANH, _RELU, _LSTM, _GRU = range(4)
_KEPT = [kept for _, _, kept in MODES.values()]


def _sequence_shapes(given, w, b, h0, c0, mode, reverse):
    T, B = given.shape[:2]
    H = h0.shape[1]
    cells = (T, B, H) if mode == _LSTM else (0,)
    return [((T, B, H), given.dtype), (cells, given.dtype), ((T, B, _KEPT[mode] * H), given.dtype)]


def _backward_shapes(dout, dcells, out, cells, kept, w, h0, c0, mode, reverse):
    T, B, H = out.shape
    gates = (T, B, w.shape[0])
    return [
        (gates, out.dtype),
        (gates if mode == _GRU else (0,), out.dtype),
        ((B, H), out.dtype),
        ((B, H) if mode == _LSTM else (0,), out.dtype),
    ]


# One step of each cell, from the input's and the hidden share of the gates: how gradients of gradients are made.


def _lstm_step(given, hidden, h, c):
    i, f, g, o = (given + hidden).chunk(4, -1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


def _gru_step(given, hidden, h, c):
    given_r, given_z, given_n = given.chunk(3, -1)
    hidden_r, hidden_z, hidden_n = hidden.chunk(3, -1)
    n = tanh(given_n + sigmoid(given_r + hidden_r) * hidden_n)
    return n + sigmoid(given_z + hidden_z) * (h - n), c


_STEPS = {
    _TANH: lambda given, hidden, h, c: (tanh(given + hidden), c),
    _RELU: lambda given, hidden, h, c: (relu(given + hidden), c),
    _LSTM: _lstm_step,
    _GRU: _gru_step,
}


def _steps(given, w, b, h, c, mode, reverse):
    """The sequence as single ops: outputs and cells."""
    outputs, cells = [], []
    shares = given.unbind(0)
    for share in reversed(shares) if reverse else shares:
        h, c = _STEPS[mode](share, linear(h, w, b), h, c)
        outputs.append(h)
        cells.append(c)
    if reverse:
        outputs.reverse()
        cells.reverse()
    return stack(outputs), stack(cells) if mode == _LSTM else None


def _differentiable_gradient(g, inputs, mode, reverse, needs):
    given, w, b, h, c = inputs
    outs = [(y, d) for y, d in zip(_steps(given, w, b, h, c, mode, reverse), g, strict=False) if d is not None]
    wanted = [x for x, need in zip(inputs, needs, strict=True) if need]
    found = iter(
        grad([y for y, _ in outs], wanted, [d for _, d in outs], create_graph=True, allow_unused=True)
    )
    return tuple(next(found) if need else None for need in needs)


def _gradient(g, y, given, w, b, h0, c0, mode, reverse, *, needs):
    if is_grad_enabled():
        return _differentiable_gradient(g, (given, w, b, h0, c0), mode, reverse, needs)
    out, cells, kept = y
    if g[0] is None:  # only the last cell was used
        g = (zeros(out.shape, dtype=out.dtype, device=out.device), g[1])
    dgiven, dhidden, dh, dc = _sequence_backward(g[0], g[1], out, cells, kept, w, h0, c0, mode, reverse)
    dhidden = dhidden if mode == _GRU else dgiven
    dw = None
    if needs[1]:
        first = h0.unsqueeze(0)
        before = cat([out[1:], first]) if reverse else cat([first, out[:-1]])
        dw = dhidden.flatten(0, 1).mT @ before.flatten(0, 1)
    db = dhidden.sum((0, 1)) if needs[2] else None
    return dgiven, dw, db, dh, dc if mode == _LSTM else None


def _cost(steps, w):
    """FLOPs of a product a step, (B, H) with (G, H), and of some ten operations a gate."""
    return steps.numel() * (2 * w.shape[1] + 10)


_sequence = Op("rnn_sequence", inputs=5, infer=_sequence_shapes, vjp_all=_gradient, cost=lambda given, w, *rest: _cost(given, w))
_sequence_backward = Op(
    "rnn_sequence_backward", inputs=8, infer=_backward_shapes,
    cost=lambda g, gc, out, cells, kept, w, *rest: out.numel() * w.shape[0] // w.shape[1] * (2 * w.shape[1] + 10),
)


def _check(op: str, given: Tensor, w_hh: Tensor, state: tuple[Tensor, ...], gates: int) -> None:
    if given.ndim != 3 or state[0].ndim != 2:
        raise ShapeError(
            f"{op}: expected the input's share of the gates as (T, B, G) and states as (B, H), got "
            f"{list(given.shape)} and {list(state[0].shape)}"
        )
    if len(state) != 1 + (op == "LSTM"):
        raise ArgumentError(f"{op}: expected {1 + (op == 'LSTM')} states, got {len(state)}")
    B, H = given.shape[1], state[0].shape[1]
    wanted = {"w_hh": (w_hh, (gates * H, H)), "the input's share": (given, (given.shape[0], B, gates * H))}
    wanted |= {f"state {i}": (s, (B, H)) for i, s in enumerate(state)}
    for name, (t, shape) in wanted.items():
        if tuple(t.shape) != shape:
            raise ShapeError(f"{op}: {name} should have shape {shape}, but has {tuple(t.shape)}")


def sequence(
    mode: str,
    input: Tensor,
    state: tuple[Tensor, ...],
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
    reverse: bool = False,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """One direction of one layer over (T, B, I): outputs (T, B, H) and the last state, (h,) or (h, c) of (B, H) each.

    `mode` is RNN_TANH, RNN_RELU, LSTM or GRU; weights and biases are torch's `weight_ih_l0` and its kin.
    """
    if mode not in MODES:
        raise ArgumentError(f"sequence: unknown mode {mode!r}; use one of {list(MODES)}")
    number, gates, _ = MODES[mode]
    if b_hh is not None and mode != "GRU":  # one bias serves; the GRU's reset gate stands between its two
        b_ih, b_hh = b_hh if b_ih is None else b_ih + b_hh, None
    given = linear(input, w_ih, b_ih)  # one product for all steps
    _check(mode, given, w_hh, state, gates)
    dtype = given.dtype
    if dtype.itemsize < 4:
        given, w_hh, state = given.to(float32), w_hh.to(float32), tuple(t.to(float32) for t in state)
        b_hh = None if b_hh is None else b_hh.to(float32)
    for name, t in (("w_hh", w_hh), ("b_hh", b_hh), *((f"state {i}", s) for i, s in enumerate(state))):
        if t is not None and t.dtype != given.dtype:
            raise DTypeError(
                f"{mode}: {name} is {t.dtype.name} but the input's share of the gates is {given.dtype.name}; cast one"
            )
    if given.shape[0] == 0:
        return given.new_empty((0, *state[0].shape)).to(dtype), tuple(s.to(dtype) for s in state)
    out, cells, _ = _sequence(given, w_hh, b_hh, state[0], state[1] if len(state) > 1 else None, number, reverse)
    last = 0 if reverse else -1
    finals = (out[last], cells[last]) if mode == "LSTM" else (out[last],)
    return out.to(dtype), tuple(s.to(dtype) for s in finals)
