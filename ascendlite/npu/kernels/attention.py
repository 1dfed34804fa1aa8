"""Attention on the device: which tiles its kernels take, their workspaces, and what they are launched with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from ascendlite.core import Tensor, _core, no_grad
from ascendlite.npu.chips import Chip
from ascendlite.npu.kernels import composites, kernel_for
from ascendlite.npu.kernels.elementwise import blocks_for
from ascendlite.npu.kernels.flash_backward import flash_dkv, flash_dq, row_products
from ascendlite.npu.kernels.flash_forward import flash, value_pitch
from ascendlite.npu.kernels.flash_parts import L0_SLOT, LOWEST
from ascendlite.npu.kernels.flash_plan import Lie, Problem, Tiles, up
from ascendlite.npu.kernels.product_plans import Outline
from ascendlite.npu.kernels.products import FORMATS, LONGEST_ROW
from ascendlite.npu.kernels.rowwise import rows_of
from ascendlite.npu.lang.tensors import MIXED_UB, RESERVED_UB
from ascendlite.npu.runtime import launch as launching
from ascendlite.npu.runtime.device import state
from ascendlite.npu.runtime.launch import launch

Tensors = tuple[Any, ...]
_FLOAT32: Final = _core.DTYPE_NAMES["float32"]
_MASKS: Final = {"bool": 1, "float16": 2, "bfloat16": 2, "float32": 4}
_ROWS: Final = (128, 64, 32, 16)
_COLUMNS: Final = (512, 256, 128, 64, 32, 16)
_STEPS: Final = (128, 64)
_MOST_STEPS: Final = 4  # of a tile: each has two flags of the eight between MTE1 and MTE2
_CANDIDATES: Final = 3  # tile shapes that the clock compares
LANES_BYTES: Final = 256  # of a row that is folded
_KERNELS: Final = {"flash": flash, "flash_dq": flash_dq, "flash_dkv": flash_dkv}


# -- tiles


def _room(chip: Chip) -> int:
    """Bytes of UB that a mixed kernel has."""
    return chip.memory["UB"] - RESERVED_UB.get(chip.generation, 0) - MIXED_UB


@dataclass(frozen=True)
class Case:
    """What a tile shape is chosen for. which: "flash", "flash_dq" or "flash_dkv"; mask: its format, or "". """

    which: str
    p: Problem
    dtype: str
    mask: str
    sinks: bool
    g: Lie | None = None  # of the gradient

    @property
    def size(self) -> int:
        return FORMATS[self.dtype]


def _scores_bytes(c: Case, t: Tiles) -> int:
    """UB of a tile of scores, what masks it, and its rows' numbers."""
    p, tile, mask = c.p, t.rows * t.bn, _MASKS.get(c.mask, 0)
    masked = up(tile if p.mask and p.mask.row else t.bn, 128)
    between = p.causal or p.window
    buffers = tile * 4 * t.ahead + (tile * 2 if between else 0) + (tile // 8 + 32 if between or mask else 0) + (masked * (mask * t.ahead + 8) if mask else 0)
    return buffers + t.rows * (LANES_BYTES + 32 + 32 * t.ahead) + 12 * 4 * up(t.rows, 8) + 2048


def _fits(c: Case, t: Tiles, chip: Chip) -> bool:
    """Whether the buffers of a kernel fit a core's memories."""
    size, width, values = c.size, up(c.p.E, 16), value_pitch(c.p)
    tile, ub = t.bm * t.bn, _scores_bytes(c, t)
    if c.which == "flash":
        ub += t.rows * (t.bn * size + values * (8 + size))
        l1 = t.bm * width * 2 + t.bn * (width + values) + tile
        l0c = t.bm * (t.step + values)
    elif c.which == "flash_dq":
        ub += t.rows * t.bn * (4 * t.ahead + size)
        l1 = t.bm * (width + values) * 2 + t.slots * t.bn * (width + values) + t.backs * tile
        l0c = 2 * tile + t.bm * width
    else:
        ub += t.rows * t.bn * (4 * t.ahead + 2 * size)
        l1 = t.bn * (width + values) * 2 + t.slots * t.bm * (width + values) + t.backs * 2 * tile
        l0c = 2 * tile + t.bn * (width if c.p.picked else width + values)
    l0 = 16 * size * max(t.bm, t.step or t.bn, values, width if c.which != "flash" else 0)
    whole = not c.mask or t.bn * _MASKS[c.mask] >= 32  # a row of the mask fills blocks of 32 bytes
    return whole and ub <= _room(chip) and size * l1 <= chip.memory["L1"] and 4 * l0c <= chip.memory["L0C"] and l0 <= L0_SLOT


def _useful(c: Case, chip: Chip) -> list[Tiles]:
    """Tile shapes that fit, those first whose busiest pipe has the least to do."""
    p, size = c.p, c.size

    def cycles(t: Tiles) -> float:
        """Results out of L0C, operands into L1, the vector cores' work; and what a tile costs whatever its size."""
        m, n = min(t.bm, up(p.L, 16)), min(t.bn, p.S)
        out = m * (n + p.V) if c.which == "flash" else 2 * m * n
        loads = (m if c.which == "flash_dkv" else n) * (p.E + p.V) + m * n
        tile = max(out / 10, loads * size / 87, m / 2 * (9 * n + 3 * p.V) / 64 + 700) + 800
        down = -(-p.L // t.bm)
        seen = sum(-(-(min((i + 1) * t.bm, p.S) if p.causal else p.S) // t.bn) for i in range(down))
        blocks = -(-p.S // t.bn) * p.B * p.G if c.which == "flash_dkv" else down * p.B * p.H
        return tile * seen * p.B * p.H / blocks * -(-blocks // chip.aic)

    found = [Tiles(bm, bn) for bm in _ROWS for bn in _COLUMNS if (bm == 16 or bm < 2 * p.L) and (bn <= 64 or bn < 2 * p.S)]
    if c.which == "flash":
        found = [replace(t, step=min(step, t.bn)) for t in found for step in _STEPS if t.bn <= _MOST_STEPS * step]
    else:
        found = [replace(t, ahead=ahead) for t in found for ahead in (2, 1)]
    fitting = {(t.bm, t.bn): t for t in reversed(found) if _fits(c, t, chip)}  # of one shape's steps, or groups, the largest
    return sorted(fitting.values(), key=cycles)[:_CANDIDATES]


def _spaces(c: Case, t: Tiles, chip: Chip) -> list[tuple[int, str]]:
    """Workspaces between the cores of a group: elements and format."""
    rows = chip.aic * t.slots * t.bm
    scores, narrow = (rows * t.bn, "float32"), (rows * t.bn, c.dtype)
    return {"flash": [scores, narrow, (rows * value_pitch(c.p), "float32")], "flash_dq": [scores, scores, narrow],
            "flash_dkv": [scores, scores, narrow, narrow]}[c.which]


def _outlines(c: Case) -> tuple[Outline | None, ...]:
    """The operands and results of a kernel as far as a trace needs them."""
    p = c.p
    q, k, v = (Outline(extent(p, x), c.dtype) for x in "qkv")
    mask = Outline(extent(p, "mask"), c.mask) if c.mask else None
    out, lse = Outline(p.B * p.L * p.H * p.V, c.dtype), Outline(p.B * p.H * p.L, "float32")
    if c.which == "flash":
        sinks = Outline(p.L if p.picked else p.H, "float32") if c.sinks else None
        return q, k, v, mask, sinks, out, lse
    assert c.g is not None
    head = Outline(extent_of(c.g, p.B, p.H, p.L, p.V), c.dtype), q, k, v, mask, lse, lse
    if c.which == "flash_dq":
        return *head, Outline(p.B * p.L * p.H * p.E, c.dtype)
    if p.picked:
        return *head, Outline(p.B * p.S * p.E, "float32"), None
    return *head, *(Outline(p.B * p.S * p.G * n, c.dtype) for n in (p.E, p.V))


@cache
def best_tiles(c: Case, chip: Chip) -> Tiles | None:
    """The tile shape that the clock finds fastest; None if none fits."""
    candidates = _useful(c, chip)
    if len(candidates) < 2:
        return candidates[0] if candidates else None
    timed = {}
    for t in candidates:
        spaces = (Outline(n, d) for n, d in _spaces(c, t, chip))
        traced = _KERNELS[c.which].program(None, chip, (*_outlines(c), *spaces, c.p, t, *([c.g] if c.g else ())), {}).traced
        timed[t] = launching.timing(traced).us
    return min(candidates, key=timed.__getitem__)


# -- operands


def extent_of(lie: Lie, batches: int, heads: int, rows: int, columns: int) -> int:
    """Elements from an operand's first to past its last."""
    return int(lie.at(batches - 1, heads - 1, rows - 1)) + columns


def extent(p: Problem, name: str) -> int:
    """The same of "q", "k", "v" or "mask"."""
    heads, rows, columns = {"q": (p.H, p.L, p.E), "k": (p.G, p.S, p.E), "v": (p.G, p.S, p.V), "mask": (p.H, p.L, p.S)}[name]
    return extent_of(getattr(p, name), p.B, heads, rows, columns)


def in_rows(x: Tensor) -> Tensor:
    """x (B, H, rows, columns) itself if its rows are contiguous and a copy can skip from one to the next, else a copy."""
    row, column = x.stride()[2:]
    fine = (column == 1 or x.shape[3] == 1) and (x.shape[3] <= row <= LONGEST_ROW or x.shape[2] == 1)
    return x.detach() if fine else x.detach().contiguous()


def lie_of(x: Tensor) -> Lie:
    """Strides of x (B, H, rows, columns); dims of one element do not tell apart."""
    batch, head, row = (s if n > 1 else 0 for s, n in zip(x.stride()[:3], x.shape[:3], strict=True))
    return Lie(batch, head, row if x.shape[2] > 1 else x.shape[3])


def _masked(mask: Tensor) -> Tensor:
    """A mask whose rows are contiguous; queries may share one."""
    row, column = mask.stride()[2:]
    if (column == 1 or mask.shape[3] == 1) and (row == 0 or mask.shape[2] == 1 or row >= mask.shape[3]):
        return mask.detach()
    return mask.detach().contiguous()


def _mask_lie(mask: Tensor) -> Lie:
    batch, head, row = (s if n > 1 else 0 for s, n in zip(mask.stride()[:3], mask.shape[:3], strict=True))
    return Lie(batch, head, row)


def flat(x: Tensor, size: int) -> Tensor:
    """The operand's memory from its first element on."""
    return x.as_strided((size,), (1,), x.storage_offset())


def problem(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, window: int, scale: float) -> Problem:
    """The problem as the operands lie in memory."""
    (B, H, L, E), (_, G, S, V) = q.shape, v.shape
    return Problem(B, H, G, L, S, E, V, causal, window, scale, lie_of(q), lie_of(k), lie_of(v), None if mask is None else _mask_lie(mask))


def taken(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> bool:
    """Whether the kernels take these operands: formats of the cube, something to attend to, and cores that are apart."""
    some = all(x.numel() for x in (q, k, v)) and q.dtype.name in FORMATS
    return bool(some and (mask is None or mask.dtype.name in _MASKS) and state.chip.generation != "1001")


def run(c: Case, operands: Tensors, results: Tensors) -> Any:
    """Launch a kernel with tiles and workspaces of its own. Its operands and results are flat, as those of the trace that was timed."""
    t = best_tiles(c, state.chip)
    if t is None:
        return NotImplemented
    device = results[0].device
    spaces = [_core.empty((n,), dtype=_core.DTYPE_NAMES[d], device=device) for n, d in _spaces(c, t, state.chip)]
    name = "attention" if c.which == "flash" else "attention_backward"
    flats = [None if x is None else x.detach().reshape(-1) for x in (*operands, *results)]
    launch(_KERNELS[c.which], *flats, *spaces, c.p, t, *([c.g] if c.g else ()), name=name)
    return None


def _windows(p: Problem, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensors:
    """The operands as they lie, flat."""
    given = ((q, "q"), (k, "k"), (v, "v"), (mask, "mask"))
    return tuple(None if x is None else flat(x, extent(p, name)) for x, name in given)


def _operands(inputs: Tensors, attrs: Tensors) -> tuple[Problem, Tensors]:
    """The problem that q, k, v and mask pose, and the operands of the kernels."""
    mask = inputs[3]
    q, k, v = (in_rows(x) for x in inputs[:3])
    mask = None if mask is None else _masked(mask)
    p = problem(q, k, v, mask, bool(attrs[0]), int(attrs[1]), float(attrs[2]))
    return p, _windows(p, q, k, v, mask)


def _format(mask: Tensor | None) -> str:
    return "" if mask is None else mask.dtype.name


@kernel_for("attention")
def _attention(outputs: Tensors, inputs: Tensors, attrs: Tensors) -> Any:
    q, k, v, mask, sinks = inputs
    if not taken(q, k, v, mask):
        return composites.attention(outputs, inputs, attrs)
    p, operands = _operands(inputs, attrs)
    sinks = None if sinks is None else sinks.detach().to(_FLOAT32).contiguous()
    case = Case("flash", p, q.dtype.name, _format(mask), sinks is not None)
    if run(case, (*operands, sinks), outputs) is NotImplemented:
        return composites.attention(outputs, inputs, attrs)
    return None


@kernel_for("attention_backward")
def _attention_backward(outputs: Tensors, inputs: Tensors, attrs: Tensors) -> Any:
    g, q, k, v, mask, sinks, out, lse = inputs
    if not taken(q, k, v, mask):
        return composites.attention_backward(outputs, inputs, attrs)
    p, operands = _operands((q, k, v, mask), attrs)
    turned = in_rows(g.detach().transpose(1, 2))  # (B, H, L, V)
    cases = [Case(which, p, q.dtype.name, _format(mask), False, lie_of(turned)) for which in ("flash_dq", "flash_dkv")]
    rows = rows_of(p.B * p.L * p.H, p.V, q.itemsize, 2, 2)
    if rows is None or any(best_tiles(c, state.chip) is None for c in cases):
        return composites.attention_backward(outputs, inputs, attrs)
    delta = _core.empty((p.B, p.L, p.H), dtype=_FLOAT32, device=q.device)
    launch(row_products, g.detach().contiguous(), out.detach(), delta, rows, blocks=blocks_for(out.nbytes), name="attention_delta")
    assert cases[0].g is not None
    head = (flat(turned, extent_of(cases[0].g, p.B, p.H, p.L, p.V)), *operands, lse.detach(), delta)
    run(cases[0], head, outputs[:1])
    run(cases[1], head, outputs[1:3])
    if sinks is not None:
        with no_grad():
            share = (sinks.detach().to(_FLOAT32).unsqueeze(1) - lse.detach().clamp(min=LOWEST)).exp() * delta.transpose(1, 2)
            outputs[3].copy_(-share.sum((0, 2)))
    return None
