"""Timelines as pictures: Chrome trace events (Perfetto), PNG, and one HTML page that needs nothing else."""

from __future__ import annotations

import html as _html
import json
import math
from pathlib import Path
from typing import Any, Final

from ascendlite.errors import ArgumentError
from ascendlite.npu.timeline import KINDS, PIPES, PIPES_OF, Timeline

COLOURS: Final = {"S": "#9aa0a6", "V": "#e8710a", "M": "#d93025", "MTE1": "#9334e6", "MTE2": "#1a73e8", "MTE3": "#188038", "FIX": "#b06000"}
MOST_SPANS: Final = 20_000  # in a picture; later ones would only blacken it
_ROW, _WIDTH, _LEFT, _RIGHT = 26, 1180, 90, 70
_TICKS = 8  # at most, along a picture's time


def _shown(t: Timeline) -> dict[int, str]:
    """The cores to draw: the first of each kind, by index, with their names."""
    first: dict[int, str] = {}
    for index, core in enumerate(t.raw["cores"]):
        name = KINDS[core[0]]
        if not any(v.startswith(name) and v != f"{name} 1" for v in first.values()) or (t.program.kind == "mix" and core[1] == 0):
            first[index] = f"{name} {core[2]}" if t.program.kind == "mix" else name
        if len(first) >= (3 if t.program.kind == "mix" else 1):
            break
    return first


def with_spans(t: Timeline) -> Timeline:
    """The same launch with the instructions of the cores that are drawn."""
    return t if t.raw["spans"] else Timeline.of(t.program, spans_of=tuple(_shown(t)))


def _spans(t: Timeline) -> list[Any]:
    return [s for s in t.raw["spans"] if s[5] > s[4]][:MOST_SPANS]


def events(t: Timeline) -> dict[str, Any]:
    """Chrome trace events: a process a core, a thread a pipe; times in microseconds."""
    t = with_spans(t)
    shown = _shown(t)
    out: list[dict[str, Any]] = []
    for core, name in shown.items():
        out.append({"ph": "M", "name": "process_name", "pid": core, "args": {"name": f"{t.program.name}: {name}, block 0"}})
        out += [{"ph": "M", "name": "thread_name", "pid": core, "tid": n, "args": {"name": p}} for n, p in enumerate(PIPES)]
    for core, pipe, opcode, site, begin, end in t.raw["spans"]:
        where = t.program.sites[site]
        out.append(
            {"ph": "X", "name": t.program.names[opcode], "pid": core, "tid": pipe, "ts": begin / 1e3, "dur": (end - begin) / 1e3,
             "args": {"line": where.place, "text": where.text}}
        )  # fmt: skip
    return {"traceEvents": out, "displayTimeUnit": "ns", "otherData": {"chip": t.program.chip.name, "us": t.us}}


def perfetto(t: Timeline, path: str) -> None:
    """Writes `events` as JSON."""
    Path(path).write_text(json.dumps(events(t)), encoding="utf-8")


def _rows(t: Timeline) -> list[tuple[int, str, str]]:
    """(core, pipe, label) of each line of a picture."""
    return [(core, p, f"{name} {p}") for core, name in _shown(t).items() for p in PIPES_OF[name[:3]] if p != "S"]


def _share(t: Timeline, core: int, pipe: str) -> str:
    """How much of the launch a pipe of a core works."""
    return f"{100 * t.raw['cores'][core][6][PIPES.index(pipe)][0] / t.raw['total_ns']:.0f} %"


def _title(t: Timeline) -> str:
    return f"{t.program.name} on {t.program.chip.name}: {t.us:.1f} us, bound by {t.bound.name}; the first of {t.program.blocks} blocks"


def png(t: Timeline, path: str) -> None:
    """Draws the pipes of one core of each kind: a bar an instruction, at the right the share of time that the pipe works. Needs matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ArgumentError("png: matplotlib is not installed; pip install 'ascendlite[demo]', or write .html(path)") from None
    t = with_spans(t)
    rows = _rows(t)
    place = {(core, p): n for n, (core, p, _) in enumerate(rows)}
    figure = Figure(figsize=(12, 0.8 + 0.4 * len(rows)))
    axes = figure.add_subplot()
    bars: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for core, pipe, _, _, begin, end in _spans(t):
        bars.setdefault((core, PIPES[pipe]), []).append((begin / 1e3, (end - begin) / 1e3))
    for key, spans in bars.items():
        if key in place:
            axes.broken_barh(spans, (place[key] - 0.4, 0.8), facecolors=COLOURS[key[1]], edgecolors="white", linewidth=0.4 if len(spans) < 400 else 0)
    axes.axvspan(0, t.raw["launch_ns"] / 1e3, color="#eeeeee", zorder=0)
    axes.text(t.raw["launch_ns"] / 2e3, len(rows) - 0.55, "launch", ha="center", va="bottom", fontsize=8, color="#666666")
    axes.set_xlim(0, t.us)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [label for _, _, label in rows])
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for n, (core, pipe, _) in enumerate(rows):
        axes.text(1.005, n, _share(t, core, pipe), transform=axes.get_yaxis_transform(), va="center", fontsize=9)
    axes.set_xlabel("us from the launch; at the right: share of the time that the pipe works")
    axes.set_title(_title(t))
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def svg(t: Timeline) -> str:
    """The same picture as SVG; a line of the source shows under the pointer."""
    t = with_spans(t)
    rows = _rows(t)
    place = {(core, p): n for n, (core, p, _) in enumerate(rows)}
    spans = _spans(t)
    last = max(1.0, float(t.raw["total_ns"]))
    scale = (_WIDTH - _LEFT - _RIGHT) / last
    bottom = _ROW * len(rows)
    parts = [f'<svg viewBox="0 0 {_WIDTH} {_ROW * len(rows) + 20}" width="100%" font-family="sans-serif" font-size="12">']
    parts.append(f'<rect x="{_LEFT}" y="0" width="{t.raw["launch_ns"] * scale:.1f}" height="{bottom}" fill="#eee"><title>launch</title></rect>')
    for us in _ticks(last / 1e3):
        x = _LEFT + us * 1e3 * scale
        parts.append(f'<path d="M{x:.1f} 0V{bottom}" stroke="#ddd"/><text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{us:g}</text>')
    for n, (core, pipe, label) in enumerate(rows):
        parts.append(f'<text x="0" y="{n * _ROW + 17}">{label}</text><text x="{_WIDTH}" y="{n * _ROW + 17}" text-anchor="end">{_share(t, core, pipe)}</text>')
    for core, pipe, opcode, site, begin, end in spans:
        row = place.get((core, PIPES[pipe]))
        if row is None:
            continue
        where = t.program.sites[site]
        tip = _html.escape(f"{t.program.names[opcode]}  {begin / 1e3:.2f}-{end / 1e3:.2f} us\n{where.place}  {where.text}")
        x, width = _LEFT + begin * scale, max(0.3, (end - begin) * scale)
        parts.append(f'<rect x="{x:.2f}" y="{row * _ROW + 3}" width="{width:.2f}" height="{_ROW - 6}" fill="{COLOURS[PIPES[pipe]]}" stroke="#fff" stroke-width="{0.4 if width > 2 else 0}"><title>{tip}</title></rect>')
    parts.append(f'<text x="{_WIDTH}" y="{bottom + 15}" text-anchor="end">us; busy</text></svg>')
    return "".join(parts)


def _ticks(last_us: float) -> list[float]:
    """Round times up to the last."""
    step = 10.0 ** math.floor(math.log10(last_us))
    step = next(s for s in (step / 10, step / 5, step / 2, step, 2 * step) if last_us / s <= _TICKS)
    return [n * step for n in range(int(last_us / step) + 1)]


def html(t: Timeline, path: str) -> None:
    """One page without references: the picture and the report."""
    title = _html.escape(f"{t.program.name} on {t.program.chip.name}")
    page = (
        f"<!doctype html><html><head><meta charset='utf-8'><title>{title}</title></head>"
        f"<body style='font-family:sans-serif;margin:2em'><h1>{title}: {t.us:.1f} us</h1>"
        f"<p>{_html.escape(_title(t))}. A bar is an instruction: its times and its line show under the pointer. At the right, the share of the time "
        f"that the pipe works.</p>{svg(t)}"
        f"<pre>{_html.escape(t.report())}</pre></body></html>"
    )
    Path(path).write_text(page, encoding="utf-8")
