"""Where a step's time goes on an emulated device: one early step of a stage is profiled, and the report shows it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ascendlite as al
from ascendlite.files import replacing

from ..callbacks import TrainerCallback, TrainerControl, TrainerState

if TYPE_CHECKING:
    from ascendlite.npu.profiler import profile

    from ..config import TrainingConfig

_STEP = 2  # the first that has nothing to prepare: programs are made, moments exist
_SHOWN = 12


class DeviceProfile(TrainerCallback):
    """Writes npu/ (the vendor's files) and device.json (what `section` shows) into a stage's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: profile | None = None

    def on_step_begin(self, args: TrainingConfig, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """Start with the step, if none was profiled yet."""
        if state.global_step >= _STEP and not (self.folder / "device.json").is_file():
            self._running = al.npu.profiler.profile(self.folder / "npu")
            self._running.start()

    def on_step_end(self, args: TrainingConfig, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """Write what the step was."""
        if self._running is None:
            return
        done, self._running = self._running, None
        done.stop()
        told = {"step": state.global_step, "chip": al.npu.get_device_name(), "summary": done.summary(), "operators": [asdict(row) for row in done.operators()]}
        with replacing(self.folder / "device.json") as aside:
            aside.write_text(json.dumps(told, indent=1) + "\n", "utf-8")


def section(folder: Path, stage: str) -> str:
    """The profiled step of a stage as HTML: operators by virtual time, what bounds them, and where the timeline is; nothing off the NPU."""
    path = folder / stage / "device.json"
    if not path.is_file():
        return ""
    told = json.loads(path.read_text("utf-8"))
    rows: list[Mapping[str, Any]] = told["operators"]
    whole = sum(row["us"] for row in rows) or 1.0
    lines = [_line(row["name"], row["kind"], row["calls"], row["us"], row["us"] / whole, row["bound"]) for row in rows[:_SHOWN]]
    rest = rows[_SHOWN:]
    if rest:
        us = sum(row["us"] for row in rest)
        lines.append(_line(f"{len(rest)} more", "", sum(row["calls"] for row in rest), us, us / whole, ""))
    head = "<tr><th>operator</th><th>core</th><th>calls</th><th>virtual &micro;s</th><th>share</th><th>bound by</th></tr>"
    return (
        f"<h3>Step {told['step']} on {escape(told['chip'])}</h3><p>{escape(told['summary'])}.</p><table>{head}{''.join(lines)}</table>"
        f'<p>Timeline: <a href="{escape(stage)}/npu/trace_view.json">{escape(stage)}/npu/trace_view.json</a> '
        "(opens in ui.perfetto.dev); tables beside it have the vendor's columns.</p>"
    )


def _line(name: str, kind: str, calls: int, us: float, share: float, bound: str) -> str:
    bar = f'<div style="width:{140 * share:.0f}px;height:.7em;background:#1f6feb;display:inline-block"></div> {share:.1%}'
    return (
        f'<tr><td>{escape(name)}</td><td>{escape(kind)}</td><td class="n">{calls:,}</td><td class="n">{us:,.1f}</td><td>{bar}</td>'
        f"<td>{escape(bound)}</td></tr>"
    )
