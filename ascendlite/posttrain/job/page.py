"""report.html: one file that needs nothing else, with plots as SVG, and metrics.jsonl with the rows of all stages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from ascendlite.files import replacing

from .device import section
from .settings import JobSettings

Row = dict[str, Any]
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:980px;margin:2em auto;padding:0 1em;color:#1c2430;background:#fff}
h1{margin-bottom:0}h2{margin-top:2em;border-bottom:1px solid #dde3ea;padding-bottom:.2em}table{border-collapse:collapse;margin:1em 0}
td,th{padding:.3em .9em;border-bottom:1px solid #e6ebf0;text-align:left;vertical-align:top}td.n{text-align:right;font-variant-numeric:tabular-nums}
figure{display:inline-block;margin:.4em}figcaption{font-size:13px;color:#56616e}.big{font-size:2em;font-weight:600}.dim{color:#6b7683}
code{background:#f3f5f8;padding:.1em .3em}.right{color:#0a7d3c}.wrong{color:#b3261e}pre{background:#f3f5f8;padding:.8em;overflow:auto}"""
_PALETTE = ("#1f6feb", "#d1642a", "#0a7d3c", "#8250df")
# What is plotted of a stage's rows: title, unit, and names with their labels.
_PLOTS: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    ("Loss", "nats a token", (("loss", "loss"),)),
    ("Reward", "mean of a generation", (("reward", "reward"),)),
    ("KL", "nats a token", (("kl", "KL"),)),
    ("Entropy", "nats a token", (("entropy", "entropy"),)),
    ("Length", "tokens of a completion", (("completions/mean_length", "mean"),)),
    ("Gradient norm", "", (("grad_norm", "norm"),)),
    ("Clipped tokens", "share", (("clip_ratio", "clipped"),)),
    ("Groups without a signal", "share", (("frac_reward_zero_std", "all alike"),)),
    ("On questions for choosing", "share", (("validation/pass_at_1", "pass@1"), ("validation/pass_at_8", "pass@8"), ("validation/greedy", "greedy"))),
)


def stage_rows(folder: Path, stages: Sequence[str]) -> dict[str, list[Row]]:
    """The metrics of each stage that has some."""
    found: dict[str, list[Row]] = {}
    for stage in stages:
        path = folder / stage / "metrics.jsonl"
        if path.is_file():
            found[stage] = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return found


# ---- plots


def _ticks(low: float, high: float) -> list[float]:
    return [low + (high - low) * part / 3 for part in range(4)]


def _text(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def plot(title: str, unit: str, curves: Sequence[tuple[str, Sequence[float], Sequence[float]]]) -> str:
    """Curves of (label, steps, values) as an SVG figure."""
    xs, ys = [x for _, c, _ in curves for x in c], [y for _, _, c in curves for y in c]
    low_x, high_x, low_y, high_y = min(xs), max(xs), min(ys), max(ys)
    high_x, high_y = high_x + (high_x == low_x), high_y + (high_y == low_y) * (abs(high_y) or 1.0)

    def place(x: float, y: float) -> str:
        return f"{44 + (x - low_x) / (high_x - low_x) * 256:.1f},{150 - (y - low_y) / (high_y - low_y) * 126:.1f}"

    parts = []
    for y in _ticks(low_y, high_y):
        at = place(low_x, y).split(",")[1]
        parts.append(f'<line x1="44" x2="300" y1="{at}" y2="{at}" stroke="#e6ebf0"/><text x="40" y="{at}" text-anchor="end" dy="3">{_text(y)}</text>')
    for x in (low_x, high_x):
        parts.append(f'<text x="{place(x, low_y).split(",")[0]}" y="166" text-anchor="middle">{_text(x)}</text>')
    for number, (label, steps, values) in enumerate(curves):
        colour = _PALETTE[number % len(_PALETTE)]
        points = " ".join(place(x, y) for x, y in zip(steps, values, strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        if len(curves) > 1:
            parts.append(f'<text x="{50 + 80 * number}" y="16" fill="{colour}">{escape(label)}</text>')
    body = "".join(parts)
    caption = escape(title) + (f' <span class="dim">({escape(unit)})</span>' if unit else "")
    return (
        f'<figure><svg width="310" height="172" font-size="10" fill="#56616e" role="img" aria-label="{escape(title)}">{body}</svg>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _plots(rows: Sequence[Row]) -> str:
    made = []
    for title, unit, names in _PLOTS:
        curves = []
        for name, label in names:
            points = [(row["step"], row[name]) for row in rows if name in row]
            if len(points) > 1:
                curves.append((label, [x for x, _ in points], [y for _, y in points]))
        if curves:
            made.append(plot(title, unit, curves))
    return "".join(made)


# ---- tables


def _share(figures: Mapping[str, float], name: str) -> str:
    return f'{figures[name]:.3f} <span class="dim">[{figures[name + "_low"]:.3f}, {figures[name + "_high"]:.3f}]</span>'


def _judged_table(results: Mapping[str, Any], names: Sequence[tuple[str, str]]) -> str:
    present = [(stage, label) for stage, label in names if stage in results]
    if not present:
        return ""
    kinds = [name for name in results[present[0][0]]["figures"] if name == "greedy" or (name.startswith("pass_at_") and name.count("_") == 2)]
    head = "".join(f"<th>{escape(kind.replace('pass_at_', 'pass@'))}</th>" for kind in kinds)
    lines = [f"<tr><td>{escape(label)}</td>" + "".join(f'<td class="n">{_share(results[stage]["figures"], k)}</td>' for k in kinds) + "</tr>" for stage, label in present]
    return f"<table><tr><th></th>{head}</tr>{''.join(lines)}</table><p class=dim>95% intervals (Wilson) over held-out questions.</p>"


def _chats(results: Mapping[str, Any], stage: str, count: int = 8) -> str:
    lines = []
    for question, answer, score in results[stage]["examples"][:count]:
        kind = "right" if score >= 0.999 else "wrong"
        lines.append(f"<tr><td>{escape(question)}</td><td>{escape(answer)}</td><td class={kind}>{kind}</td></tr>")
    return f"<table><tr><th>asked</th><th>answered</th><th></th></tr>{''.join(lines)}</table>"


def _timing(results: Mapping[str, Any]) -> str:
    rows = [(name, value) for name, value in results.items() if isinstance(value, dict) and "seconds" in value]
    lines = [f'<tr><td>{escape(name)}</td><td class="n">{value.get("steps", "")}</td><td class="n">{value["seconds"]:.1f} s</td></tr>' for name, value in rows]
    return f"<table><tr><th>stage</th><th>steps</th><th>time</th></tr>{''.join(lines)}</table>"


def _settings_table(settings: JobSettings) -> str:
    lines = [f"<tr><td>{escape(name)}</td><td>{escape(str(value))}</td></tr>" for name, value in settings.state_dict().items()]
    return f"<details><summary>all settings</summary><table>{''.join(lines)}</table></details>"


# ---- the page


def _headline(settings: JobSettings, results: Mapping[str, Any]) -> str:
    if "before" in results and "after" in results:
        before, after = (results[stage]["figures"]["pass_at_1"] for stage in ("before", "after"))
        return f'<p class=big>pass@1 {before:.3f} &rarr; {after:.3f}</p><p>on held-out questions of <code>{escape(settings.task)}</code>, through GRPO alone</p>'
    pairs = [n for n in (1, 2) if f"student-{n}" in results and f"specialist-{n}" in results]
    found = [(results[f"specialist-{n}"]["figures"]["pass_at_1"], results[f"student-{n}"]["figures"]["pass_at_1"]) for n in pairs]
    text = ", ".join(f"{teacher:.3f} &rarr; {student:.3f}" for teacher, student in found)
    return f"<p class=big>teacher &rarr; student: {text}</p><p>pass@1 of each specialist and of the student on its task</p>" if found else ""


_JUDGED = (
    ("before", "after SFT"), ("after", "after GRPO"), ("specialist-1", "specialist 1"), ("specialist-2", "specialist 2"),
    ("before-distillation-1", "student before distillation, task 1"), ("before-distillation-2", "student before distillation, task 2"),
    ("student-1", "student, task 1"), ("student-2", "student, task 2"),
)  # fmt: skip


def write_report(folder: Path, settings: JobSettings, results: Mapping[str, Any], about: str) -> Path:
    """Write report.html and metrics.jsonl; returns the path of the former."""
    stages = stage_rows(folder, list(results))
    with replacing(folder / "metrics.jsonl") as aside:
        aside.write_text("".join(json.dumps({"stage": stage, **row}) + "\n" for stage, rows in stages.items() for row in rows), "utf-8")
    chats = [stage for stage in ("after", "student-1", "student-2") if stage in results]
    model = results.get("model", {})
    sections = [
        "<h1>Post-training</h1>",
        f"<p class=dim>{escape(about)}</p>",
        _headline(settings, results),
        f"<p>{escape(str(model.get('kind', 'DeepseekV4')))}, {model['parameters']:,} parameters, {model['learned']:,} of them learn.</p>" if model else "",
        "<h2>Before and after</h2>", _judged_table(results, _JUDGED),
        *(f"<h2>{escape(stage)}</h2>{_plots(rows)}{section(folder, stage)}" for stage, rows in stages.items()),
        *(f"<h2>Chats</h2>{_chats(results, stage)}" for stage in chats),
        "<h2>Time</h2>", _timing(results),
        "<h2>Settings</h2>", _settings_table(settings),
        f"<p>Converse with it: <code>ascendlite chat {escape(str(folder))}</code></p>",
    ]  # fmt: skip
    page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Post-training {escape(folder.name)}</title><style>{_STYLE}</style>{"".join(sections)}</html>\n'
    target = folder / "report.html"
    with replacing(target) as aside:
        aside.write_text(page, "utf-8")
    return target
