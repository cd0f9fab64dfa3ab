"""Celery, RQ, Dramatiq and BullMQ: workers and a client with a private Redis.

What each is set to, and why, stands here, where the four can be compared.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import install
from .lifecycle import HERE, Failed, Words, json_of, output_of, redis_server, running, scratch

QUEUES = HERE / "queues"


@dataclass(frozen=True)
class Queue:
    """A queue. Each command line starts with a program of the peer; all run in `queues`."""

    peer: str
    workers: Sequence[Sequence[str]]
    client: Sequence[str]
    tasks: int
    settings: str
    result: str

    @property
    def is_python(self) -> bool:
        return self.peer != "bullmq"

    def prepare(self) -> Path:
        """Returns the directory of its programs or packages."""
        return install.python(self.peer) if self.is_python else install.npm(self.peer)

    def measure(self, scale: float) -> float:
        """Returns tasks per second, from before the first enqueue until the last has ended."""
        home = self.prepare()
        tasks = max(100, round(self.tasks * scale))
        with contextlib.ExitStack() as stack:
            run = stack.enter_context(scratch())
            port = stack.enter_context(redis_server(run))
            env = {
                "PEERS_REDIS": f"redis://127.0.0.1:{port}",
                "PYTHONPATH": str(QUEUES),
                "PYTHONDONTWRITEBYTECODE": "1",
                "NODE_PATH": str(home),
            }
            bin_ = home if self.is_python else Path(install.node()).parent
            workers = []
            for number, (program, *words) in enumerate(self.workers):
                words = [word.replace("REDIS", env["PEERS_REDIS"]) for word in words]
                command: Words = [bin_ / program, *words]
                log = run / f"worker-{number}.log"
                workers.append(stack.enter_context(running(command, log, cwd=QUEUES, env=env)))
            program, *words = self.client
            figures = json_of(output_of([bin_ / program, *words, str(tasks)], cwd=QUEUES, env=env, beside=workers))
        if figures["tasks"] != tasks:
            raise Failed(f"{figures['tasks']} tasks ended of {tasks}")
        return tasks / float(figures["seconds"])


CELERY_WORKER = ["celery", "--app", "celery_queue", "worker", "--pool", "solo", "--loglevel", "WARNING"]
CELERY = Queue(
    peer="celery",
    workers=[[*CELERY_WORKER, "--hostname", name] for name in ("first@%h", "second@%h")],
    client=["python", "celery_queue.py"],
    tasks=3_000,
    settings="2 workers of pool solo, prefetch multiplier 128, acks late, rate limits off; one producer for all",
    result="result backend in Redis",
)

RQ_WORKER = ["rq", "worker", "--quiet", "--disable-job-desc-logging", "--url", "REDIS"]
RQ = Queue(
    peer="rq",
    workers=[[*RQ_WORKER, "--worker-class", "rq.SimpleWorker"]] * 3,
    client=["python", "rq_queue.py"],
    tasks=1_500,
    settings="3 SimpleWorkers, which do not fork: the fastest its notes on performance name; enqueue_many by 500",
    result="finished job's record, 500 s",
)
RQ_FORKING = Queue(
    peer="rq",
    workers=[RQ_WORKER] * 3,
    client=["python", "rq_queue.py"],
    tasks=300,
    settings="3 Workers, which fork for each job: the default, and the only one of these peers that isolates a task",
    result="finished job's record, 500 s",
)

DRAMATIQ = Queue(
    peer="dramatiq",
    workers=[["dramatiq", "dramatiq_queue", "--processes", "2", "--threads", "8"]],
    client=["python", "dramatiq_queue.py"],
    tasks=6_000,
    settings="2 processes of 8 threads, as its default is on 2 cores; default prefetch",
    result="results middleware, Redis backend",
)

BULLMQ_WORKER = [["node", "bullmq.cjs", "worker"]]
BULLMQ_BULK = Queue(
    peer="bullmq",
    workers=BULLMQ_WORKER,
    client=["node", "bullmq.cjs", "bulk"],
    tasks=40_000,
    settings="1 worker process, concurrency 100; addBulk by 500; ioredis",
    result="completed job's record with its return value",
)
BULLMQ_SINGLE = Queue(
    peer="bullmq",
    workers=BULLMQ_WORKER,
    client=["node", "bullmq.cjs", "single"],
    tasks=40_000,
    settings="1 worker process, concurrency 100; add, 64 in flight; ioredis",
    result="completed job's record with its return value",
)
