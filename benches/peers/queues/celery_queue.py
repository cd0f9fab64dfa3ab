"""Celery: app of the worker; run as a program, its client."""

from __future__ import annotations

import redis
from celery import Celery
from measured import REDIS, measure

# Results have a separate database, whose size is the number of ended tasks.
RESULTS = f"{REDIS}/1"

app = Celery("celery_queue", broker=f"{REDIS}/0", backend=RESULTS)
app.conf.update(
    # "Optimizing", prefetch limits: many short tasks want a large number, "say 64, or 128".
    worker_prefetch_multiplier=128,
    # "Tips and best practices": disable if not used.
    worker_disable_rate_limits=True,
    # Like a lease: a task whose worker dies runs again.
    task_acks_late=True,
    worker_send_task_events=False,
)


@app.task
def noop() -> None:
    pass


def enqueue(tasks: int) -> list[str]:
    # One producer for all, as the guide "Calling tasks" recommends for many tasks.
    with app.producer_pool.acquire(block=True) as producer:
        return [noop.apply_async(producer=producer).id for _ in range(tasks)]


def succeeded(ids: list[str]) -> int:
    return sum(app.AsyncResult(task).successful() for task in ids)


if __name__ == "__main__":
    results = redis.Redis.from_url(RESULTS)
    measure(enqueue, results.dbsize, succeeded)
