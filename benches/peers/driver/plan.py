"""Measurements and comparisons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import fusebox, install, limits, queues, sync

REQUESTS, TASKS, WRITES, MICROSECONDS = "requests/s", "tasks/s", "writes/s", "µs"


@dataclass(frozen=True)
class Programs:
    """Programs built in advance, so that nothing compiles during a measurement."""

    fusebox: Path
    echo: Path
    sandbox: Path | None


@dataclass(frozen=True)
class Measure:
    """A measurement; `run` returns a figure for each of `keys`."""

    keys: Mapping[str, str]
    unit: str
    settings: str
    result: str
    run: Callable[[], Mapping[str, float]]
    prepare: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Comparison:
    """A row of the table: a ratio of two figures and its target. Without a target it is for orientation."""

    what: str
    ours: str
    peer: str
    target: float | None = None
    is_at_most: bool = False

    def is_met(self, ratio: float) -> bool | None:
        if self.target is None:
            return None
        return ratio <= self.target if self.is_at_most else ratio >= self.target


def measures(programs: Programs, scale: float) -> list[Measure]:
    return [
        *sync_measures(programs),
        *(durable(programs, "burst", mode, scale) for mode in ("push", "pull", "embedded")),
        of_queue("bullmq.bulk", "BullMQ, add-bulk", queues.BULLMQ_BULK, scale),
        *(durable(programs, "batch", mode, scale) for mode in ("push", "pull", "embedded")),
        of_queue("bullmq.single", "BullMQ, single adds", queues.BULLMQ_SINGLE, scale),
        of_queue("dramatiq", "Dramatiq", queues.DRAMATIQ, scale),
        of_queue("celery", "Celery", queues.CELERY, scale),
        of_queue("rq", "RQ", queues.RQ, scale),
        of_queue("rq.forking", "RQ, a fork for each job", queues.RQ_FORKING, scale),
        Measure(
            {"redis": "Redis, pipelined SET"},
            WRITES,
            "redis-benchmark, 8 clients, 64 in a pipeline, 128 B",
            "",
            lambda: {"redis": limits.pipelined_redis(scale)},
        ),
        Measure(
            {"sandbox": "Fusebox, one sandboxed run", "wasmtime": "wasmtime, bare"},
            MICROSECONDS,
            "benches/sandbox.rs: 128 B in and out; bare is pooling, copy-on-write, InstancePre, and no limits",
            "",
            lambda: sandbox(programs, scale < 1),
            lambda: programs.sandbox or limits.built_bench("sandbox"),
        ),
    ]


def sync_measures(programs: Programs) -> list[Measure]:
    wrk = f"wrk {' '.join(sync.WRK)}, {sync.SECONDS} s, POST of 14 B of JSON"
    return [
        Measure(
            {"invoke": "Fusebox, sync invoke"},
            REQUESTS,
            f"{wrk}; `fusebox up`, a fresh sandbox for each request, every limit on",
            "",
            lambda: {"invoke": sync.fusebox(programs.fusebox)},
        ),
        Measure(
            {"workerd": "workerd"},
            REQUESTS,
            f"{wrk}; one isolate for all requests",
            "",
            lambda: {"workerd": sync.workerd()},
            lambda: install.npm("workerd"),
        ),
        Measure(
            {"http": "Fusebox, HTTP component"},
            REQUESTS,
            f"{wrk} to the function's URL; `fusebox up`, a fresh instance for each request, every limit on",
            "",
            lambda: {"http": sync.http_component(programs.fusebox)},
            sync.component,
        ),
        Measure(
            {"serve": "wasmtime serve"},
            REQUESTS,
            f"{wrk}; the same component, a fresh instance for each request, {' '.join(sync.WASMTIME_LIMITS)}",
            "",
            lambda: {"serve": sync.wasmtime_serve()},
            lambda: (install.wasmtime(), sync.component()),
        ),
        Measure(
            {"echo": "axum echo"},
            REQUESTS,
            f"{wrk}; answers the body",
            "",
            lambda: {"echo": sync.echo(programs.echo)},
        ),
    ]


def durable(programs: Programs, scenario: str, mode: str, scale: float) -> Measure:
    key = f"{scenario}.{mode}"
    asked = {"burst": "a request each", "batch": "batches of 500"}[scenario]
    parts, setting = f"serve, dispatcher, {fusebox.WORKERS} worker of {fusebox.SLOTS} slots", (mode, "redis")
    if mode == "embedded":
        parts, setting = f"`fusebox up`, {fusebox.SLOTS} slots, each commit flushed to the disk", ("local", "embedded")
    return Measure(
        {key: f"Fusebox, {mode}, {asked}"},
        TASKS,
        f"{parts}; {fusebox.CONNECTIONS} connections",
        "task's record with output and receipt",
        lambda: {key: fusebox.durable(programs.fusebox, scenario, *setting, scale)},
    )


def of_queue(key: str, title: str, queue: queues.Queue, scale: float) -> Measure:
    return Measure(
        {key: title}, TASKS, queue.settings, queue.result, lambda: {key: queue.measure(scale)}, queue.prepare
    )


def sandbox(programs: Programs, smoke: bool) -> Mapping[str, float]:
    figures = limits.sandbox(programs.sandbox or limits.built_bench("sandbox"), smoke)
    return {"sandbox": figures["full"], "wasmtime": figures["bare"]}


COMPARISONS: Sequence[Comparison] = [
    Comparison("a sandboxed run, every limit on", "sandbox", "wasmtime", 1.3, is_at_most=True),
    Comparison("sync invoke of `hello`", "invoke", "workerd", 3),
    Comparison("sync invoke of `hello`", "invoke", "echo", 0.4),
    Comparison("a component of wasi:http at its URL", "http", "serve", 1),
    Comparison("durable tasks, a request each, embedded", "burst.embedded", "bullmq.bulk", 3),
    Comparison("durable tasks, a request each, push", "burst.push", "bullmq.bulk", 2),
    Comparison("durable tasks, a request each, pull", "burst.pull", "bullmq.bulk", 1.5),
    Comparison("durable tasks, batches of 500, embedded", "batch.embedded", "bullmq.bulk", 4),
    Comparison("durable tasks, batches of 500, push", "batch.push", "bullmq.bulk", 3),
    *(
        Comparison(f"durable tasks, a request each, {mode}", f"burst.{mode}", peer, target)
        for peer, target in (("dramatiq", 10), ("celery", 30), ("rq", 40))
        for mode in ("push", "pull")
    ),
    Comparison("durable tasks, a request each, push", "burst.push", "bullmq.single"),
    Comparison("durable tasks, batches of 500, pull", "batch.pull", "bullmq.bulk"),
    Comparison("durable tasks, each isolated, push", "burst.push", "rq.forking"),
    Comparison("durable tasks, batches of 500, push", "batch.push", "redis"),
]
