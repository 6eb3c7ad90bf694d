"""Shows the progress of stages: bars on a terminal, plain lines anywhere else.

It is fed with the events that stages write (`hazardline.progress.EventReporter`, `hazardline.stage_runner`), and knows
nothing of how they run: the same display serves one stage by hand and the whole line.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

STATES = {
    "waiting": "[dim]waiting[/]",
    "running": "[cyan]running[/]",
    "made": "[green]made[/]",
    "reused": "[green]reused[/]",
    "done": "[green]done[/]",
    "failed": "[red]failed[/]",
}


class ProgressDisplay:
    """One row a stage."""

    def __init__(self, console: Console, stages: Sequence[str]) -> None:
        """Show these stages, all of them waiting."""
        self._console = console
        self._is_live = console.is_terminal
        self._started_at: dict[str, float] = {}
        self._phase: dict[str, str] = {}
        self._progress = Progress(
            TextColumn("{task.fields[stage]:<11}"),
            TextColumn("{task.fields[state]}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[count]:>13}"),
            TextColumn("{task.fields[seconds]:>7}"),
            TextColumn("{task.fields[phase]}"),
            console=console,
            disable=not self._is_live,
            refresh_per_second=4,
        )
        self._rows: dict[str, TaskID] = {
            stage: self._progress.add_task(
                "", total=1, stage=stage, state=STATES["waiting"], count="", seconds="", phase=""
            )
            for stage in stages
        }

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last state on the screen."""
        self._progress.stop()

    def handle(self, event: Mapping[str, Any]) -> None:
        """Show one event."""
        stage = event["stage"]
        if stage not in self._rows:
            return
        if "state" in event:
            self._show_state(stage, event)
        elif "note" in event:
            self._say(stage, event["note"])
        elif "phase" in event:
            self._show_phase(stage, event["phase"], event["done"], event["total"])

    def tick(self) -> None:
        """Let the clocks of running stages go on."""
        for stage, started_at in self._started_at.items():
            self._progress.update(self._rows[stage], seconds=f"{time.time() - started_at:.0f} s")

    def _show_state(self, stage: str, event: Mapping[str, Any]) -> None:
        row, state = self._rows[stage], event["state"]
        if state == "started":
            self._started_at[stage] = event["time"]
            self._progress.update(row, state=STATES["running"], total=None)
            if not self._is_live:
                self._say(stage, "started")
            return
        self._started_at.pop(stage, None)
        record = event.get("record")
        seconds = f"{record['wall_s']:.1f} s" if record else ""
        changes: dict[str, Any] = {"total": 1, "completed": 1} if state != "failed" else {}
        self._progress.update(row, state=STATES[state], phase="", count="", seconds=seconds, **changes)
        if not self._is_live and record:
            self._say(stage, f"{state} in {seconds}, peak {record['peak_rss_mb']:.0f} MB")

    def _show_phase(self, stage: str, phase: str, done: int, total: int) -> None:
        if not self._is_live and self._phase.get(stage) != phase:
            self._say(stage, phase)
        self._phase[stage] = phase
        count = f"{done}/{total}" if total else f"{done}" if done else ""
        self._progress.update(self._rows[stage], completed=done, total=total or None, count=count, phase=escape(phase))

    def _say(self, stage: str, text: str) -> None:
        self._progress.console.print(f"[dim]{stage:<11}[/] {escape(text)}", highlight=False, soft_wrap=True)


class DisplayReporter:
    """A stage's reporter that shows what it hears at once, in the same process."""

    def __init__(self, display: ProgressDisplay, stage: str) -> None:
        """Report for one stage."""
        self._display = display
        self._stage = stage
        self._phase, self._done, self._total = "", 0, 0

    def phase(self, name: str, total: int = 0) -> None:
        """Begin a phase."""
        self._phase, self._done, self._total = name, 0, total
        self._show()

    def advance(self, n: int = 1) -> None:
        """Count."""
        self._done += n
        self._show()

    def note(self, text: str) -> None:
        """Say one line."""
        self._display.handle({"stage": self._stage, "note": text})

    def _show(self) -> None:
        self._display.handle({"stage": self._stage, "phase": self._phase, "done": self._done, "total": self._total})


class EventTail:
    """Reads the events that other processes append to a file, as they come."""

    def __init__(self, path: Path) -> None:
        """Read from the start of the file, which need not exist yet."""
        self._path = path
        self._offset = 0

    def read(self) -> Iterator[dict[str, Any]]:
        """Events that were completed since the last call. A line without its end is left for the next."""
        if not self._path.exists():
            return
        with self._path.open("rb") as stream:
            stream.seek(self._offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                yield json.loads(line)
