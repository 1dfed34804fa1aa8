"""Recurrent layers over sequences: RNN, LSTM, GRU. Single cells are in rnn_cells.py."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from ..core import Device, DType, Tensor, empty, get_autocast, zeros
from ..errors import ShapeError
from ..ops.movement import cat, stack
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter
from .rnn_steps import GATES, State, run_layer, run_packed_layer
from .utils.rnn import PackedSequence


class RNNBase(Module):
    """Layers and directions of one cell: (T, B, I) -> (T, B, D * H) and last states (D * layers, B, H)."""

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: str | Device | None = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        _check_options(mode, input_size, hidden_size, num_layers, dropout, proj_size)
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        for layer in range(num_layers):
            self._add_weights(layer, device, dtype)
        self.reset_parameters()

    def _add_weights(self, layer: int, device: str | Device | None, dtype: DType | None) -> None:
        gate_size, out_size = GATES[self.mode] * self.hidden_size, self.proj_size or self.hidden_size
        in_size = self.input_size if layer == 0 else out_size * (1 + self.bidirectional)
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (gate_size, in_size),
            "weight_hh": (gate_size, out_size),
        }
        if self.bias:
            shapes.update(bias_ih=(gate_size,), bias_hh=(gate_size,))
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        for suffix in self._suffixes(layer):
            for name, shape in shapes.items():
                self.register_parameter(name + suffix, Parameter(empty(shape, device=device, dtype=dtype)))

    def _suffixes(self, layer: int) -> tuple[str, ...]:
        return (f"_l{layer}", f"_l{layer}_reverse")[: 1 + self.bidirectional]

    def reset_parameters(self) -> None:
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0.0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing to do: torch repacks weights for cuDNN here, and programs call it."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of every layer and direction."""
        return [
            [
                p
                for name, p in self._parameters.items()
                if p is not None and name.partition("_l")[2] == suffix[2:]
            ]
            for layer in range(self.num_layers)
            for suffix in self._suffixes(layer)
        ]

    def _check_input(self, input: Tensor) -> None:
        if input.ndim not in (2, 3):
            raise ValueError(
                f"{type(self).__name__}: expected input to be 2D or 3D, got {input.ndim}D instead "
                f"(shape {tuple(input.shape)})"
            )
        if input.dtype != self.weight_ih_l0.dtype and not get_autocast()[0]:
            raise ValueError(
                f"{type(self).__name__}: input dtype ({input.dtype}) does not match weight dtype "
                f"({self.weight_ih_l0.dtype}); convert the input or the module with .to()"
            )
        if input.numel() == 0 and input.shape[1 if self.batch_first and input.ndim == 3 else 0] == 0:
            raise ShapeError(
                f"{type(self).__name__}: expected sequence length to be larger than 0, got shape {tuple(input.shape)}"
            )
        if input.shape[-1] != self.input_size:
            raise RuntimeError(
                f"{type(self).__name__}: input.size(-1) must be equal to input_size. Expected "
                f"{self.input_size}, got {input.shape[-1]} (shape {tuple(input.shape)})"
            )

    def _check_state(self, state: Tensor, B: int, size: int, name: str) -> None:
        wanted = (self.num_layers * (1 + self.bidirectional), B, size)
        if tuple(state.shape) != wanted:
            raise ShapeError(
                f"{type(self).__name__}: expected {name} size {wanted}, got {tuple(state.shape)}"
            )

    def _state_sizes(self) -> dict[str, int]:
        return {"hidden": self.proj_size or self.hidden_size}

    def _run(self, input: Any, hx: State | None) -> tuple[Any, State]:
        """Batches of (T, B, I) or (B, T, I), or one sequence (T, I), through all layers."""
        if isinstance(input, PackedSequence):
            return self._run_packed(input, hx)
        self._check_input(input)
        batched = input.ndim == 3
        if not batched:
            input = input.unsqueeze(1)
            hx = None if hx is None else tuple(self._batched(s) for s in hx)
        elif self.batch_first:
            input = input.transpose(0, 1)
        hx = self._start(input, hx, input.shape[1])
        out, last = self._run_layers(input, hx, run_layer)
        if not batched:
            return out.squeeze(1), tuple(s.squeeze(1) for s in last)
        return (out.transpose(0, 1) if self.batch_first else out), last

    def _start(self, input: Tensor, hx: State | None, B: int) -> State:
        depth, sizes = self.num_layers * (1 + self.bidirectional), self._state_sizes()
        if hx is None:
            hx = tuple(zeros((depth, B, n), dtype=input.dtype, device=input.device) for n in sizes.values())
        for state, (name, size) in zip(hx, sizes.items(), strict=True):
            self._check_state(state, B, size, name)
        return hx

    def _run_packed(self, input: PackedSequence, hx: State | None) -> tuple[Any, State]:
        """Sequences of different lengths; states are in the order that they had before they were packed."""
        data, batch_sizes, order, back = input
        self._check_input(data)
        counts = batch_sizes.tolist()
        hx = self._start(data, hx, counts[0])
        if order is not None:
            hx = tuple(s.index_select(1, order) for s in hx)
        out, last = self._run_layers(data, hx, partial(run_packed_layer, counts))
        if back is not None:
            last = tuple(s.index_select(1, back) for s in last)
        return input._replace(data=out), last

    def _batched(self, state: Tensor) -> Tensor:
        if state.ndim != 2:
            raise RuntimeError(
                f"{type(self).__name__}: for unbatched 2-D input, hx should also be 2-D but got "
                f"{state.ndim}-D tensor (shape {tuple(state.shape)})"
            )
        return state.unsqueeze(1)

    def _run_layers(self, x: Tensor, hx: State, run: Any) -> tuple[Tensor, State]:
        finals: list[State] = []
        for layer in range(self.num_layers):
            outputs = []
            for direction, suffix in enumerate(self._suffixes(layer)):
                weights = [
                    self._parameters.get(name + suffix)
                    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
                ]
                w_ih, w_hh, *rest = weights
                assert w_ih is not None and w_hh is not None, (layer, suffix)
                start = tuple(s[len(finals)] for s in hx)
                out, last = run(self.mode, x, start, w_ih, w_hh, *rest, reverse=direction == 1)
                outputs.append(out)
                finals.append(last)
            x = cat(outputs, -1) if len(outputs) > 1 else outputs[0]
            if self.dropout and layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout, self.training)
        return x, tuple(stack(list(parts)) for parts in zip(*finals, strict=True))

    def extra_repr(self) -> str:
        extras: list[tuple[str, Any, Any]] = [
            ("proj_size", self.proj_size, 0),
            ("num_layers", self.num_layers, 1),
            ("bias", self.bias, True),
            ("batch_first", self.batch_first, False),
            ("dropout", self.dropout, 0),
            ("bidirectional", self.bidirectional, False),
        ]
        text = f"{self.input_size}, {self.hidden_size}"
        return text + "".join(f", {name}={value}" for name, value, usual in extras if value != usual)


def _check_options(mode: str, input_size: int, hidden_size: int, num_layers: int, dropout: float, proj_size: int) -> None:
    if isinstance(dropout, bool) or not 0 <= dropout <= 1:
        raise ValueError(
            f"{mode}: dropout should be a number in range [0, 1] representing the probability of an element "
            f"being zeroed, got {dropout!r}"
        )
    if not isinstance(hidden_size, int):
        raise TypeError(f"{mode}: hidden_size should be of type int, got: {type(hidden_size).__name__}")
    if input_size <= 0:
        raise ValueError(f"{mode}: input_size must be greater than zero, got {input_size}")
    if hidden_size <= 0:
        raise ValueError(f"{mode}: hidden_size must be greater than zero, got {hidden_size}")
    if num_layers <= 0:
        raise ValueError(f"{mode}: num_layers must be greater than zero, got {num_layers}")
    if proj_size < 0 or proj_size >= hidden_size:
        raise ValueError(
            f"{mode}: proj_size has to be between 0 and hidden_size {hidden_size} (not included), got "
            f"{proj_size}"
        )
    if proj_size and mode != "LSTM":
        raise ValueError(f"{mode}: proj_size {proj_size} is only supported for LSTM")


class RNN(RNNBase):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu.

    >>> out, h = al.nn.RNN(3, 5)(al.ones(7, 2, 3))
    >>> out.shape, h.shape
    ((7, 2, 5), (1, 2, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: str | Device | None = None,
        dtype: DType | None = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNN: unknown nonlinearity {nonlinearity!r}, select from 'tanh' or 'relu'")
        super().__init__(
            "RNN_" + nonlinearity.upper(),
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            0,
            device,
            dtype,
        )
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        out, (h,) = self._run(input, None if hx is None else (hx,))
        return out, h


class LSTM(RNNBase):
    """Long short-term memory; states are (h, c); `proj_size` projects h."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: str | Device | None = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(
            "LSTM",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
        )

    def _state_sizes(self) -> dict[str, int]:
        return {"hidden[0]": self.proj_size or self.hidden_size, "hidden[1]": self.hidden_size}

    def forward(
        self, input: Any, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Any, tuple[Tensor, Tensor]]:
        out, (h, c) = self._run(input, hx)
        return out, (h, c)


class GRU(RNNBase):
    """Gated recurrent unit."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: str | Device | None = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(
            "GRU",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            0,
            device,
            dtype,
        )

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        out, (h,) = self._run(input, None if hx is None else (hx,))
        return out, h
