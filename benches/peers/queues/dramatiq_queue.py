"""Dramatiq: actors of the worker; run as a program, their client."""

from __future__ import annotations

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
from measured import REDIS, measure

# Results have a separate database, whose size is the number of ended tasks.
RESULTS = f"{REDIS}/1"

broker = RedisBroker(url=f"{REDIS}/0")
backend = RedisBackend(url=RESULTS)
broker.add_middleware(Results(backend=backend))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def noop() -> None:
    pass


sent: dict[str, dramatiq.Message] = {}


def enqueue(tasks: int) -> list[str]:
    messages = [noop.send() for _ in range(tasks)]
    sent.update({message.message_id: message for message in messages})
    return [message.message_id for message in messages]


def succeeded(ids: list[str]) -> int:
    # The result of a failed actor is raised as an exception.
    return sum(sent[task].get_result(backend=backend) is None for task in ids)


if __name__ == "__main__":
    results = redis.Redis.from_url(RESULTS)
    measure(enqueue, results.dbsize, succeeded)
