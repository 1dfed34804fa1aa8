"""Optimizer steps: one pass over parameter, gradient and moments. What changes from step to step comes as numbers in memory, so that a
program is made once."""

from __future__ import annotations

from typing import Any, Final

from ascendlite.core import Tensor, _core
from ascendlite.npu import ascendc as ac
from ascendlite.npu.kernels import kernel_for
from ascendlite.npu.kernels.elementwise import blocks_for
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.events import HardEvent
from ascendlite.npu.lang.order import SetFlag, WaitFlag, take_events
from ascendlite.npu.lang.rows import barrier
from ascendlite.npu.lang.tiles import pipeline, scratch
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime.launch import launch

TILE: Final = 2560  # elements: (4 in + 3 out) x 2 slots x 10 KiB + 3 x 10 KiB = 170 KiB of UB
NUMBERS: Final = ("step_size", "root", "rest1", "beta2", "rest2", "eps", "decay", "shrink")  # root: 1 / sqrt of the second correction


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def adam(p: Any, m: Any, v: Any, g: Any, numbers: Any, n: int, coupled: bool, maximize: bool) -> None:
    """One step of Adam (`coupled`: the decay joins the gradient) or AdamW on one parameter."""
    event = take_events(HardEvent.MTE2_S, 1)[0]
    room = scratch(dtypes.f32, len(NUMBERS))
    ac.DataCopy(room, ac.GlobalTensor(numbers), len(NUMBERS))
    SetFlag(HardEvent.MTE2_S, event)
    WaitFlag(HardEvent.MTE2_S, event)
    step_size, root, rest1, beta2, rest2, eps, decay, shrink = (ac.GetValue(room, k) for k in range(len(NUMBERS)))
    grad, t, u = (scratch(dtypes.f32, TILE) for _ in range(3))
    for tile in pipeline(n, TILE, ins=(p, m, v, g), outs=(p, m, v)):
        (p_in, m_in, v_in, g_in), (p_out, m_out, v_out), k = tile.ins, tile.outs, tile.count
        ac.Muls(grad, g_in, -1.0 if maximize else 1.0, k)
        barrier()
        if coupled:
            ac.Axpy(grad, p_in, decay, k)
            barrier()
        ac.Sub(t, grad, m_in, k)
        ac.Adds(m_out, m_in, 0.0, k)
        ac.Mul(u, grad, grad, k)
        ac.Muls(v_out, v_in, beta2, k)
        barrier()
        ac.Axpy(m_out, t, rest1, k)
        ac.Axpy(v_out, u, rest2, k)
        barrier()
        ac.Sqrt(t, v_out, k)
        barrier()
        ac.Muls(t, t, root, k)
        barrier()
        ac.Adds(t, t, eps, k)
        barrier()
        ac.Div(u, m_out, t, k)
        ac.Muls(p_out, p_in, shrink, k)
        barrier()
        ac.Axpy(p_out, u, step_size, k)


@kernel_for("adam_step")
def _adam(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    count, decoupled, maximize, largest = int(attrs[0]), bool(attrs[1]), bool(attrs[2]), bool(attrs[3])
    if largest or any(t.dtype.name != "float32" for t in (*outputs, *inputs)):
        return NotImplemented
    step_size, root_correction, beta1, beta2, eps, weight_decay, lr = attrs[4:]
    shrink = 1.0 - lr * weight_decay if decoupled else 1.0
    values = [-step_size, 1.0 / root_correction, 1.0 - beta1, beta2, 1.0 - beta2, eps, weight_decay, shrink]
    coupled = not decoupled and weight_decay != 0.0
    device = outputs[0].device
    numbers = _core.empty((len(NUMBERS),), dtype=outputs[0].dtype, device=device) if outputs[0].is_meta else _core.tensor(values, device="cpu").to(device)
    for k in range(count):
        p, m, v = (outputs[k + count * i].detach() for i in range(3))
        if p.numel():
            launch(adam, p, m, v, inputs[k].detach(), numbers, p.numel(), coupled, maximize, blocks=blocks_for(p.nbytes), name="adam_step")
    return None
