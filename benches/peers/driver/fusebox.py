"""Durable tasks on Fusebox by `fusebox bench`: around Redis in separate processes, or in one with its own store."""

from __future__ import annotations

from pathlib import Path

from .lifecycle import Failed, Words, json_of, output_of, scratch

CONNECTIONS = 64
WORKERS, SLOTS = 1, 2
TASKS = {"burst": 40_000, "batch": 100_000}


def durable(program: Path, scenario: str, mode: str, store: str, scale: float) -> float:
    """Returns tasks per second, from the first request until the last task has ended."""
    # A batch holds 500 tasks.
    tasks = max(1, round(TASKS[scenario] * scale / 500)) * 500
    with scratch() as run:
        axes = {"mode": mode, "store": store, "workers": WORKERS, "slots": SLOTS, "connections": CONNECTIONS}
        words = [word for name, value in axes.items() for word in (f"--{name}", str(value))]
        words += ["--tasks", str(tasks), "--repeats", "1", "--output", "json"]
        command: Words = [program, "bench", scenario, *words]
        # Its data is on the same disk as that of the peers.
        report = json_of(output_of(command, cwd=run, env={"TMPDIR": str(run)}))
    rows = [row for row in report["rows"] if row["scenario"] == scenario and row["mode"] == mode]
    if not rows or any(row["tasks"] != tasks for row in rows):
        raise Failed(f"fusebox bench printed no row for {tasks} tasks of {scenario}, {mode}")
    return float(rows[0]["per_second"])
