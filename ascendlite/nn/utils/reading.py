"""Weights laid out in the order in which decoding reads them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ... import cpu
from ...core import Tensor
from ..functional import swiglu
from ..hooks import is_untouched
from ..linear import Linear
from ..module import Module
from ..normalization import RMSNorm
from ..panels import Panels, Together


def _room() -> int:
    """Bytes of memory that may be taken: half of what is left."""
    held = cpu.memory_stats()
    return (held["limit_bytes"] - held["allocated_bytes"]) // 2


@contextlib.contextmanager
def reading_weights(module: Module) -> Iterator[None]:
    """Inside, products of `module`'s Linear layers with one or two rows read memory in order, which is faster: what `generate` does.

    For float32 and bfloat16 on the CPU, where no gradient is asked for. Every bit of the results stays. It keeps a second copy of the
    weights (none for layers that half of the free memory has no room for) and takes the time of two to three tokens. A weight that an
    operation changes inside is read from its own place from then on; one changed behind the library's back, through its memory, must
    not be.

    >>> model = al.nn.Linear(512, 256)
    >>> with al.nn.utils.reading_weights(model), al.no_grad():
    ...     y = model(al.ones(1, 512))
    >>> y.shape
    (1, 256)
    """
    laid: list[Linear] = []
    known: dict[int, Panels] = {}  # of weights that several layers share
    room = _room()
    try:
        for layer in module.modules():
            if type(layer) is not Linear or layer.panels is not None or not Panels.fit(layer.weight):
                continue
            key = id(layer.weight)
            if key not in known:
                if layer.weight.nbytes > room:
                    continue
                room -= layer.weight.nbytes
                known[key] = Panels(layer.weight)
            layer.panels = known[key]
            laid.append(layer)
        order = list(known.values())
        for one, following in zip(order, order[1:] + order[:1], strict=True):
            one.following = following
        yield
    finally:
        for layer in laid:
            del layer.panels
        for panels in known.values():
            panels.leave()


def side_by_side(x: Tensor, *layers: Module) -> list[Tensor]:
    """[layer(x) for layer in layers], as one product where they are Linear layers without bias that `reading_weights` laid out.

    For a model's layers that read the same input: queries, keys and values, or the gate of a perceptron and what it gates.

    >>> gate, up = al.nn.Linear(4, 3), al.nn.Linear(4, 2)
    >>> [tuple(y.shape) for y in al.nn.utils.side_by_side(al.ones(1, 4), gate, up)]
    [(1, 3), (1, 2)]
    """
    group = _group(x, layers) if len(layers) > 1 else None
    return [layer(x) for layer in layers] if group is None else group.linear(x)


def gated_residual(x: Tensor, norm: Module, gate: Module, up: Module, down: Module) -> Tensor:
    """x + down(swiglu(gate(h), up(h))) with h = norm(x): the second half of a pre-norm block, one op where `reading_weights` laid it out.

    >>> norm, gate, up, down = al.nn.RMSNorm(4), al.nn.Linear(4, 6), al.nn.Linear(4, 6), al.nn.Linear(6, 4)
    >>> al.nn.utils.gated_residual(al.ones(1, 4), norm, gate, up, down).shape
    (1, 4)
    """
    group = _group(x, (gate, up))
    if group is not None and is_untouched(down, Linear) and is_untouched(norm, RMSNorm):
        back, scale, eps = down.panels, norm.weight, norm.eps
        fits = back is not None and down.bias is None and back.keeps(down.weight) and down.weight.shape == (x.shape[-1], gate.out_features)
        if fits and eps is not None and scale is not None and scale.dtype is x.dtype and scale.shape == x.shape[-1:]:
            return group.gated(x, scale, eps, back)
    y: Tensor = x + down(swiglu(*side_by_side(norm(x), gate, up)))
    return y


def _group(x: Tensor, layers: tuple[Module, ...]) -> Together | None:
    """What serves these layers in one product, made at the first call."""
    members: list[Panels] = []
    for layer in layers:
        if not is_untouched(layer, Linear) or layer.panels is None or layer.bias is not None:
            return None
        if not (layer.panels.keeps(layer.weight) if members else layer.panels.serve(x, layer.weight, None)):
            return None
        members.append(layer.panels)
    group = members[0].group
    if group is None and Together.fit(members):
        group = Together(members)
    return group if group is not None and group.members == members else None
