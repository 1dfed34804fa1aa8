"""One step of each recurrent cell, and a layer of steps over time. States are tuples: (h,) or (h, c)."""

from __future__ import annotations

from collections.abc import Callable

from ..core import Tensor
from ..ops.matmul import linear
from ..ops.movement import stack
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
