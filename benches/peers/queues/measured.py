"""Timing of the Python queues: from before the first enqueue until the last task has ended.

A queue's program is called with the number of tasks, and prints a line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable

REDIS = os.environ["PEERS_REDIS"]
# Enough for workers to be running, connections to be open and code to be loaded.
WARM_UP_TASKS = 200
LOOK_EVERY_SECONDS = 0.02
GIVE_UP_SECONDS = 300.0


def measure(
    enqueue: Callable[[int], list[str]], ended: Callable[[], int], succeeded: Callable[[list[str]], int]
) -> None:
    """Measures a queue. `ended` must cost Redis O(1), since it is polled; `succeeded` reads every task's record."""
    tasks = int(sys.argv[1])
    enqueue(WARM_UP_TASKS)
    wait_for(ended, WARM_UP_TASKS)
    started = time.perf_counter()
    ids = enqueue(tasks)
    enqueued = time.perf_counter()
    wait_for(ended, WARM_UP_TASKS + tasks)
    finished = time.perf_counter()
    if len(set(ids)) != tasks or succeeded(ids) != tasks:
        sys.exit(f"{len(set(ids))} tasks were enqueued and {succeeded(ids)} have a result, of {tasks}")
    print(json.dumps({"tasks": tasks, "seconds": finished - started, "enqueue_seconds": enqueued - started}))


def wait_for(ended: Callable[[], int], tasks: int) -> None:
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while (count := ended()) < tasks:
        if time.monotonic() > deadline:
            sys.exit(f"only {count} of {tasks} tasks ended within {GIVE_UP_SECONDS:.0f} s")
        time.sleep(LOOK_EVERY_SECONDS)
