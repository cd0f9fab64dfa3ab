"""Limits of the hardware: Redis without a queue, and wasmtime without a host."""

from __future__ import annotations

import csv
import functools
import re
from pathlib import Path

from .lifecycle import Failed, json_of, output_of, redis_server, scratch, tool

REDIS_SETS = 2_000_000
PIPELINE = ["-P", "64", "-c", "8", "-d", "128", "-r", "100000"]


def pipelined_redis(scale: float) -> float:
    """Returns writes of 128 B per second, with 64 in a pipeline."""
    requests = str(max(10_000, round(REDIS_SETS * scale)))
    with scratch() as run, redis_server(run) as port:
        command = [tool("redis-benchmark", "redis-tools"), "-p", str(port), "-t", "set", "-n", requests, *PIPELINE]
        for row in csv.reader(output_of([*command, "--csv"]).splitlines()):
            if row and row[0] == "SET":
                return float(row[1])
    raise Failed("redis-benchmark printed no figure for SET")


@functools.cache
def built_bench(name: str) -> Path:
    """Returns the path of cargo's benchmark, which is quick if `make peers` has built it."""
    words = ["bench", "--workspace", "--bench", name, "--no-run", "--message-format", "json"]
    messages = output_of([tool("cargo", "rustup"), *words]).splitlines()
    built = [json_of(line).get("executable") for line in messages if f'"name":"{name}"' in line]
    if not any(built):
        raise Failed(f"cargo built no bench `{name}`: `make peers` builds it")
    return Path(next(filter(None, built)))


def sandbox(program: Path, smoke: bool) -> dict[str, float]:
    """Returns microseconds per run from benches/sandbox.rs: `full` with all limits, `bare` in wasmtime alone."""
    text = output_of([program, *(["--smoke"] if smoke else [])])
    figures = {}
    for key, line in (("full", r"^full run.*?: +([\d.]+) µs"), ("bare", r"^bare wasmtime.*?: +([\d.]+) µs")):
        found = re.search(line, text, re.MULTILINE)
        if found is None:
            raise Failed(f"the bench `sandbox` printed no line for {key}")
        figures[key] = float(found[1])
    return figures
