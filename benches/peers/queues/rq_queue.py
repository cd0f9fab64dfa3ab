"""RQ: function of the workers; run as a program, its client."""

from __future__ import annotations

import redis
from measured import REDIS, measure
from rq import Queue
from rq.job import Job, JobStatus

# As many per call as in Fusebox's batches.
CHUNK = 500


def noop() -> None:
    pass


def main() -> None:
    connection = redis.Redis.from_url(REDIS)
    queue = Queue(connection=connection)

    def enqueue(tasks: int) -> list[str]:
        ids: list[str] = []
        for start in range(0, tasks, CHUNK):
            # Given by its path, since in the client this module is `__main__`, which a worker cannot import.
            chunk = [Queue.prepare_data("rq_queue.noop") for _ in range(min(CHUNK, tasks - start))]
            ids += [job.id for job in queue.enqueue_many(chunk)]
        return ids

    def ended() -> int:
        return connection.zcard(queue.finished_job_registry.key)

    def succeeded(ids: list[str]) -> int:
        jobs = Job.fetch_many(ids, connection=connection)
        return sum(job is not None and job.get_status(refresh=False) == JobStatus.FINISHED for job in jobs)

    measure(enqueue, ended, succeeded)


if __name__ == "__main__":
    main()
