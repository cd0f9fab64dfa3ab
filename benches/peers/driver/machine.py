"""The machine: its properties and its other load."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import subprocess
import time
from pathlib import Path

# Maximum share of the whole machine that others may take without distorting a figure.
BUSY_SHARE = 0.10
LOOK_SECONDS = 2.0
# Time that a killed process needs to end.
ORPHAN_SECONDS = 5.0


class Others:
    """Measures the share of the machine's CPU time taken by others: everything counted by /proc/stat less our own.

    Our own are this process and its ended descendants, so the share is read after all have ended. Interrupts are not
    counted: the kernel does not attribute them to processes.
    """

    def __init__(self) -> None:
        self._start = (*cpu_seconds(), our_seconds())

    def share(self) -> float:
        used_before, all_before, ours_before = self._start
        wait_for_children()
        used, everything = cpu_seconds()
        others = used - used_before - (our_seconds() - ours_before)
        return max(0.0, others / max(everything - all_before, 1e-9))


def adopt_orphans() -> None:
    """Makes this process the parent of its children's orphans, which would otherwise count as others."""
    pr_set_child_subreaper = 36
    ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


def wait_for_children() -> None:
    deadline = time.monotonic() + ORPHAN_SECONDS
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.01)


def cpu_seconds() -> tuple[float, float]:
    """Returns the time used by processes or stolen by the hypervisor, and the total."""
    with open("/proc/stat", encoding="ascii") as stat:
        user, nice, system, idle, iowait, irq, softirq, steal = map(int, stat.readline().split()[1:9])
    ticks = os.sysconf("SC_CLK_TCK")
    used = user + nice + system + steal
    return used / ticks, (used + idle + iowait + irq + softirq) / ticks


def our_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def share_of_others_now() -> float:
    others = Others()
    time.sleep(LOOK_SECONDS)
    return others.share()


def describe() -> dict[str, str]:
    return {
        "cpu": first_value("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": first_value("/proc/meminfo", "MemTotal"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "redis": line_of(["redis-server", "--version"], 2).removeprefix("v="),
        "node": line_of(["node", "--version"], 0).removeprefix("v"),
        "wrk": line_of(["wrk", "--version"], 1),
    }


def first_value(path: str, key: str) -> str:
    lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    values = [value.strip() for name, _, value in (line.partition(":") for line in lines) if name.strip() == key]
    return " ".join(values[0].split()) if values else ""


def line_of(command: list[str], word: int) -> str:
    """Returns a word of a program's version output, for which wrk exits with a failure."""
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "not installed"
    words = (said.stdout + said.stderr).split()
    return words[word] if len(words) > word else "unknown"
