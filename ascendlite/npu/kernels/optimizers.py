"""What an optimizer does to all parameters: one launch for many tensors, one pass over parameter, gradient and moments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from ascendlite.core import Tensor, _core
from ascendlite.npu import ascendc as ac
from ascendlite.npu.kernels import copies, kernel_for, reductions
from ascendlite.npu.kernels.elementwise import blocks_for
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.events import HardEvent
from ascendlite.npu.lang.order import SetFlag, WaitFlag, take_events
from ascendlite.npu.lang.rows import barrier
from ascendlite.npu.lang.tensors import LocalTensor
from ascendlite.npu.lang.tiles import pipelines, scratch
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime.launch import launch

TILE: Final = 2560  # elements: (4 in + 3 out) x 2 slots x 10 KiB + 3 x 10 KiB = 170 KiB of UB
LARGEST_TILE: Final = 2048  # with the largest second moments: (5 in + 4 out) x 2 slots x 8 KiB + 3 x 8 KiB = 168 KiB
MOST_TENSORS: Final = 48  # of an operand in one launch: the vendor's Foreach operators take about as many


def _widen(held: LocalTensor, spare: LocalTensor, count: Any) -> LocalTensor:
    """The tile in float32: itself, or in the spare buffer."""
    if held.dtype is dtypes.f32:
        return held
    ac.Cast(spare, held, "CAST_NONE", count)
    barrier()
    return spare


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def adam(sizes: tuple[int, ...], coupled: bool, maximize: bool, largest: bool, numbers: tuple[float, ...], *tensors: Any) -> None:
    """One step of Adam (`coupled`: the decay joins the gradient) or AdamW; tensors: all parameters, gradients, first moments, second moments,
    and, if the largest second moment counts, those."""
    step_size, root, rest1, beta2, rest2, eps, decay, shrink = numbers  # root: 1 / sqrt of the second correction
    ps, gs, *moments = (tensors[i * len(sizes) : (i + 1) * len(sizes)] for i in range(5 if largest else 4))
    tile = LARGEST_TILE if largest else TILE
    grad, t, u = (scratch(dtypes.f32, tile) for _ in range(3))
    wide = t if ps[0].dtype is dtypes.f32 else scratch(dtypes.f32, tile)  # of 16-bit parameters
    for part in pipelines(sizes, tile, ins=(ps, gs, *moments), outs=(ps, *moments)):
        (p_in, g_in, m_in, v_in, *most_in), (p_out, m_out, v_out, *most_out), k = part.ins, part.outs, part.count
        p = _widen(p_in, wide, k)
        ac.Muls(grad, _widen(g_in, grad, k), -1.0 if maximize else 1.0, k)
        barrier()
        if coupled:
            ac.Axpy(grad, p, decay, k)
            barrier()
        ac.Sub(t, grad, m_in, k)
        ac.Adds(m_out, m_in, 0.0, k)
        ac.Mul(u, grad, grad, k)
        ac.Muls(v_out, v_in, beta2, k)
        barrier()
        ac.Axpy(m_out, t, rest1, k)
        ac.Axpy(v_out, u, rest2, k)
        barrier()
        second = v_out
        if largest:
            second = most_out[0]
            ac.Max(second, v_out, most_in[0], k)
            barrier()
        ac.Sqrt(t, second, k)
        barrier()
        ac.Muls(t, t, root, k)
        barrier()
        ac.Adds(t, t, eps, k)
        barrier()
        ac.Div(u, m_out, t, k)
        new = p_out if p is p_in else wide
        ac.Muls(new, p, shrink, k)
        barrier()
        ac.Axpy(new, u, step_size, k)
        if new is wide:
            barrier()
            ac.Cast(p_out, wide, "CAST_RINT", k)


@kernel_for("adam_step")
def _adam(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    count, decoupled, maximize, largest = int(attrs[0]), *map(bool, attrs[1:4])
    if any(t.dtype.name != "float32" for t in outputs[count:]):
        return NotImplemented
    step_size, root_correction, beta1, beta2, eps, weight_decay, lr = attrs[4:]
    shrink = 1.0 - lr * weight_decay if decoupled else 1.0
    numbers = (-step_size, 1.0 / root_correction, 1.0 - beta1, beta2, 1.0 - beta2, eps, weight_decay, shrink)
    rule = (not decoupled and weight_decay != 0.0, maximize, largest)
    for some in _groups(outputs[:count], inputs):
        of = [[outputs[k + count * i].detach() for k in some] for i in range(len(outputs) // count)]
        sizes = tuple(p.numel() for p in of[0])
        tensors = (*of[0], *[inputs[k].detach() for k in some], *[t for group in of[1:] for t in group])
        launch(adam, sizes, *rule, numbers, *tensors, blocks=blocks_for(4 * sum(sizes)), name="adam_step")
    return None


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def sgd(sizes: tuple[int, ...], rule: tuple[bool, ...], numbers: tuple[float, ...], *tensors: Any) -> None:
    """One step of gradient descent; tensors: all parameters, gradients, and with momentum all buffers (first: only written)."""
    momentum, nesterov, maximize, first, decays = rule
    step, keep, rest, decay = numbers
    ps, gs, ms = (tensors[i * len(sizes) : (i + 1) * len(sizes)] for i in range(3))
    grad, turn = scratch(dtypes.f32, TILE), scratch(dtypes.f32, TILE)
    for tile in pipelines(sizes, TILE, ins=(ps, gs, ms) if momentum and not first else (ps, gs), outs=(ps, ms) if momentum else (ps,)):
        p_in, g_in, p_out, k = *tile.ins[:2], tile.outs[0], tile.count
        ac.Muls(grad, g_in, -1.0 if maximize else 1.0, k)
        barrier()
        if decays:
            ac.Axpy(grad, p_in, decay, k)
            barrier()
        ac.Adds(p_out, p_in, 0.0, k)
        if not momentum:
            barrier()
        else:
            m_out = tile.outs[1]
            if first:
                ac.Adds(m_out, grad, 0.0, k)
            else:
                ac.Muls(m_out, tile.ins[2], keep, k)
                barrier()
                ac.Axpy(m_out, grad, rest, k)
            barrier()
            ac.Muls(turn, m_out, keep if nesterov else 1.0, k)
            barrier()
            if nesterov:
                ac.Add(grad, grad, turn, k)
                barrier()
        ac.Axpy(p_out, turn if momentum and not nesterov else grad, step, k)


@kernel_for("sgd_step")
def _sgd(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    count, momentum, nesterov, maximize, first = int(attrs[0]), *map(bool, attrs[1:5])
    lr, keep, dampening, weight_decay = attrs[5:]
    if any(t.dtype.name != "float32" for t in (*outputs, *inputs)):
        return NotImplemented
    numbers = (-lr, keep, 1.0 - dampening, weight_decay)
    rule = (momentum, nesterov, maximize, first, weight_decay != 0.0)
    for some in _groups(outputs[:count], inputs):
        ps, gs = [outputs[k].detach() for k in some], [inputs[k].detach() for k in some]
        ms = [outputs[count + k].detach() for k in some] if momentum else []
        launch(sgd, tuple(p.numel() for p in ps), rule, numbers, *ps, *gs, *ms, blocks=blocks_for(sum(p.nbytes for p in ps)), name="sgd_step")
    return None


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def scale(factor: Any, sizes: tuple[int, ...], *tensors: Any) -> None:
    """Every tensor times one number, in place; 16-bit ones through float32."""
    event = take_events(HardEvent.MTE2_S, 1)[0]
    room = scratch(dtypes.f32, 8)
    ac.DataCopyPad(room, ac.GlobalTensor(factor), 1)
    SetFlag(HardEvent.MTE2_S, event)
    WaitFlag(HardEvent.MTE2_S, event)
    by = ac.GetValue(room, 0)
    wide = scratch(dtypes.f32, TILE)
    for tile in pipelines(sizes, TILE, ins=(tensors,), outs=(tensors,)):
        old, new, k = tile.ins[0], tile.outs[0], tile.count
        if new.dtype is dtypes.f32:
            ac.Muls(new, old, by, k)
            continue
        ac.Cast(wide, old, "CAST_NONE", k)
        barrier()
        ac.Muls(wide, wide, by, k)
        barrier()
        ac.Cast(new, wide, "CAST_RINT", k)


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def partial_norms(partial: Any, sizes: tuple[int, ...], largest: bool, *tensors: Any) -> None:
    """partial[8 b] = the sum of squares (or the largest magnitude) of what core b has of all tensors; the seven numbers behind it are 0."""
    total, term, work, result = scratch(dtypes.f32, TILE), scratch(dtypes.f32, TILE), scratch(dtypes.f32, TILE // 64 + 8), scratch(dtypes.f32, 8)
    ac.Duplicate(total, 0.0, TILE)
    ac.Duplicate(result, 0.0, 8)
    barrier()
    for tile in pipelines(sizes, TILE, ins=(tensors,), outs=()):
        value, k = tile.ins[0], tile.count
        if value.dtype is not dtypes.f32:
            ac.Cast(term, value, "CAST_NONE", k)
            barrier()
            value = term
        if largest:
            ac.Abs(term, value, k)
        else:
            ac.Mul(term, value, value, k)
        barrier()
        (ac.Max if largest else ac.Add)(total, total, term, k)
        barrier()
    (ac.ReduceMax if largest else ac.ReduceSum)(result, total, work, TILE)
    event = take_events(HardEvent.V_MTE3, 1)[0]
    SetFlag(HardEvent.V_MTE3, event)
    WaitFlag(HardEvent.V_MTE3, event)
    ac.DataCopy(ac.GlobalTensor(partial)[8 * ac.GetBlockIdx() :], result, 8)


@kernel_for("scale_all")
def _scale(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    (factor,) = inputs
    if factor.dtype.name != "float32":
        return NotImplemented
    for some in _groups(outputs):
        tensors = [outputs[k].detach() for k in some]
        sizes = tuple(t.numel() for t in tensors)
        launch(scale, factor.reshape(1), sizes, *tensors, blocks=blocks_for(sum(t.nbytes for t in tensors)), name="scale_all")
    return None


@kernel_for("total_norm")
def _norm(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    (result,), (largest,) = outputs, attrs
    groups = list(_groups(inputs))
    counts = [blocks_for(sum(inputs[k].nbytes for k in some)) for some in groups]
    partial = _core.empty((8 * max(1, sum(counts)),), dtype=result.dtype, device=result.device)
    if not groups:
        copies.fill(partial, 0.0)
    for n, (some, blocks) in enumerate(zip(groups, counts, strict=True)):
        tensors = [inputs[k].detach() for k in some]
        part = partial[8 * sum(counts[:n]) : 8 * sum(counts[: n + 1])]
        launch(partial_norms, part, tuple(t.numel() for t in tensors), bool(largest), *tensors, blocks=blocks, name="total_norm")
    done = reductions.rows_into(result.reshape(1), partial.reshape(1, -1), "MAX" if largest else "SUM", False, 1.0, not largest)
    return None if done else NotImplemented


def _groups(*operands: Sequence[Tensor]) -> Iterator[list[int]]:
    """Numbers of tensors that one launch takes: of one dtype in each operand, none empty, not too many."""
    by_dtype: dict[Any, list[int]] = {}
    for k, several in enumerate(zip(*operands, strict=True)):
        if several[0].numel():
            by_dtype.setdefault(tuple(t.dtype for t in several), []).append(k)
    for same in by_dtype.values():
        yield from (same[i : i + MOST_TENSORS] for i in range(0, len(same), MOST_TENSORS))
