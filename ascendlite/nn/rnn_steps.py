"""One step of each recurrent cell, and a layer of steps over time. States are tuples: (h,) or (h, c)."""

from __future__ import annotations

from collections.abc import Callable

from ..core import Tensor
from ..ops.matmul import linear
from ..ops.movement import cat, stack
from ..ops.rectifier import relu
from ..ops.rnn import sequence

State = tuple[Tensor, ...]
# from the input's share of the gates, the hidden share and the state to the next state
Step = Callable[[Tensor, Tensor, State], State]


def _tanh_step(given: Tensor, hidden: Tensor, state: State) -> State:
    return ((given + hidden).tanh(),)


def _relu_step(given: Tensor, hidden: Tensor, state: State) -> State:
    return (relu(given + hidden),)


def _lstm_step(given: Tensor, hidden: Tensor, state: State) -> State:
    i, f, g, o = (given + hidden).chunk(4, -1)
    c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def _gru_step(given: Tensor, hidden: Tensor, state: State) -> State:
    given_r, given_z, given_n = given.chunk(3, -1)
    hidden_r, hidden_z, hidden_n = hidden.chunk(3, -1)
    z = (given_z + hidden_z).sigmoid()
    n = (given_n + (given_r + hidden_r).sigmoid() * hidden_n).tanh()
    return (n + z * (state[0] - n),)


STEPS: dict[str, Step] = {
    "RNN_TANH": _tanh_step,
    "RNN_RELU": _relu_step,
    "LSTM": _lstm_step,
    "GRU": _gru_step,
}
GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 4, "GRU": 3}


def run_cell(
    mode: str, x: Tensor, state: State, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None, b_hh: Tensor | None
) -> State:
    """One step from an input (B, I) and a state of (B, H)."""
    return STEPS[mode](linear(x, w_ih, b_ih), linear(state[0], w_hh, b_hh), state)


def run_layer(
    mode: str,
    x: Tensor,
    state: State,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
    w_hr: Tensor | None,
    *,
    reverse: bool,
) -> tuple[Tensor, State]:
    """One direction of one layer over (T, B, I): outputs (T, B, H) and the last state."""
    if w_hr is None:
        return sequence(mode, x, state, w_ih, w_hh, b_ih, b_hh, reverse)
    step = STEPS[mode]
    given = linear(x, w_ih, b_ih).unbind(0)  # one product for all steps
    outputs: list[Tensor] = []
    for at_t in reversed(given) if reverse else given:
        state = step(at_t, linear(state[0], w_hh, b_hh), state)
        state = (linear(state[0], w_hr), *state[1:])
        outputs.append(state[0])
    return stack(outputs[::-1] if reverse else outputs), state


def run_packed_layer(
    counts: list[int],
    mode: str,
    data: Tensor,
    state: State,
    *weights: Tensor | None,
    reverse: bool,
) -> tuple[Tensor, State]:
    """The same over a packed batch: runs of equal batch size go through one call; sequences leave (or, in reverse, join) between them."""
    runs: list[tuple[int, int]] = []  # (steps, sequences)
    for n in counts:
        runs = [*runs[:-1], (runs[-1][0] + 1, n)] if runs and runs[-1][1] == n else [*runs, (1, n)]
    pieces = data.split([steps * n for steps, n in runs])
    w_ih, w_hh, b_ih, b_hh, w_hr = weights
    assert w_ih is not None and w_hh is not None, mode
    outputs: list[Tensor] = []
    ended: list[State] = []
    now = tuple(s[:0] for s in state) if reverse else state
    for piece, (steps, n) in sorted(zip(pieces, runs, strict=True), key=lambda p: p[1][1], reverse=not reverse):
        have = now[0].shape[0]
        if reverse:
            now = tuple(cat([s, first[have:n]]) if n > have else s for s, first in zip(now, state, strict=True))
        elif n < have:
            ended.append(tuple(s[n:] for s in now))
            now = tuple(s[:n] for s in now)
        out, now = run_layer(mode, piece.reshape(steps, n, piece.shape[-1]), now, w_ih, w_hh, b_ih, b_hh, w_hr, reverse=reverse)
        outputs.append(out.reshape(steps * n, out.shape[-1]))
    last = tuple(cat([part, *(e[k] for e in reversed(ended))]) for k, part in enumerate(now))
    return cat(outputs[::-1] if reverse else outputs), last
