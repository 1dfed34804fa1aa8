"""A timeline as text: pipes, roofs, what bounds, what would help."""

from __future__ import annotations

from ascendlite.npu.advice import advise
from ascendlite.npu.timeline import PIPES_OF, Timeline, Wait


def _head(t: Timeline) -> list[str]:
    p = t.program
    raw = t.raw
    moved = f"{raw['read_bytes'] / 1e6:.1f} MB in, {raw['written_bytes'] / 1e6:.1f} MB out, {raw['hbm_bytes'] / 1e6:.1f} MB of HBM traffic"
    return [f"{p.name} on {p.chip.name}: {t.us:.1f} us, {p.blocks} blocks ({p.kind}), {raw['instructions']} instructions", f"  {moved}"]


def _stalls(t: Timeline, pipe: str, kind: str) -> str:
    stalls = {cause: us for cause, us in t.stalls_us(pipe, kind).items() if cause != "start" and us >= 0.005 * t.us}
    return ", ".join(f"{cause} {us:.1f}" for cause, us in sorted(stalls.items(), key=lambda item: -item[1]))


def _pipes(t: Timeline) -> list[str]:
    lines = [f"  {'pipe':10}{'busy us':>10}{'share':>8}{'for memory':>12}   waits, us (for)"]
    for kind in t.kinds:
        for pipe in PIPES_OF[kind]:
            busy = t.busy_us(pipe, kind)
            if busy:
                contended = t.contended_us(pipe, kind)
                lines.append(f"  {kind + ' ' + pipe:10}{busy:10.2f}{100 * busy / t.us:7.0f}%{contended:12.2f}   {_stalls(t, pipe, kind)}".rstrip())
    return [*lines, "  (means over cores; for memory: the part of busy in which copies wait for their share of it)"]


def wait_line(t: Timeline, wait: Wait) -> str:
    """One wait with its source line."""
    site = t.program.sites[wait.site]
    return f"{wait.pipe} waits {wait.us / max(1, len(t.raw['cores'])):.1f} us a core for {wait.cause} at {site.place}  {site.text}"


def _bound(t: Timeline) -> list[str]:
    bound = t.bound
    what = f"bound by {bound.name}: {100 * bound.share:.0f} % of that roof" if bound.name != "latency" else (
        f"bound by latency: no roof is reached; {bound.pipe} is the busiest pipe, {100 * bound.share:.0f} % of the time"
    )  # fmt: skip
    lines = ["  roofs: " + ", ".join(f"{name} {100 * share:.0f} %" for name, share in t.roofs.items()), "  " + what]
    longest = next((w for w in t.waits if w.cause != "start"), None)
    if bound.wait is not None:
        lines.append("  longest wait of that pipe: " + wait_line(t, bound.wait))
    if longest is not None and longest != bound.wait:
        lines.append("  longest wait: " + wait_line(t, longest))
    return lines


def _advice(t: Timeline) -> list[str]:
    lines = []
    for a in advise(t):
        lines.append(f"  {a.code}: {a.what}; {a.repair} (up to {a.gain_us:.1f} us, {100 * a.gain_us / t.us:.0f} %)")
        lines += [f"  {a.code}   at {a.place}"] if a.place else []
    return lines or ["  no advice: nothing that is known to help is worth 2 %"]


def report(t: Timeline, advice: bool = True) -> str:
    """The whole report. Times are means over the cores of a kind."""
    return "\n".join(_head(t) + _pipes(t) + _bound(t) + (_advice(t) if advice else []))
