"""Processes of one measurement: a private Redis, servers, workers and a client, all ended together with it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
HERE = ROOT / "benches" / "peers"
TARGET = ROOT / "target" / "peers"

READY_SECONDS = 30.0
# A queue's worker may finish its current tasks first.
END_SECONDS = 20.0
CLIENT_SECONDS = 600.0

# Listed in the report as well. No snapshots, since their forks would disturb the measurement.
REDIS_SETTINGS = ["--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction", "--save", ""]


# A command line.
Words = Sequence[str | Path]


class Failed(Exception):
    """A measurement without a figure; states the reason and the remedy."""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def tool(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise Failed(f"{name} is missing: `apt-get install {package}`")
    return found


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Returns a directory on the project's disk; one in memory would make the log of writes free."""
    TARGET.mkdir(parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(prefix="run-", dir=TARGET))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def running(
    command: Words, log: Path, *, cwd: Path = ROOT, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Starts a background process in its own group, so that its children end with it."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    except Failed as failed:
        raise Failed(f"{failed}{said(command, process, log)}") from None
    finally:
        end(process)


def said(command: Words, process: subprocess.Popen[bytes], log: Path) -> str:
    if process.poll() is None:
        return ""
    return f"; {Path(command[0]).name} ended with {process.returncode}: {gist(log.read_text(errors='replace'))}"


def gist(text: str) -> str:
    """Returns a program's explanation of its end: the line marked as an error, or the last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["(it said nothing)"]
    return next((line for line in lines if line.lower().startswith(("error", "npm error"))), lines[-1])


def end(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def until(ready: Callable[[], bool], what: str, *processes: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not ready():
        if time.monotonic() > deadline or any(process.poll() is not None for process in processes):
            raise Failed(f"{what} is not ready")
        time.sleep(0.02)


@contextlib.contextmanager
def redis_server(home: Path) -> Iterator[int]:
    """Starts an empty private Redis; returns its port."""
    port, data = free_port(), home / "redis"
    data.mkdir()
    server = tool("redis-server", "redis-server")
    with running(
        [server, "--bind", "127.0.0.1", "--port", str(port), "--dir", data, *REDIS_SETTINGS], home / "redis.log"
    ) as process:
        until(lambda: pings(port), "redis-server", process)
        yield port


def pings(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as link:
            link.sendall(b"PING\r\n")
            return link.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def answers(url: str, body: bytes | None = None) -> bytes | None:
    """Returns the body of a 2xx response."""
    request = urllib.request.Request(url, data=body, headers={"content-type": "application/json"} if body else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bytes(answer.read())
    except (urllib.error.URLError, OSError):
        return None


def output_of(
    command: Words,
    *,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    beside: Sequence[subprocess.Popen[bytes]] = (),
) -> str:
    """Returns the output of a program, which must succeed, and during which none of the other processes may end."""
    words = [str(word) for word in command]
    # Its own group, so that an abandoned client leaves no process behind.
    client = subprocess.Popen(
        words,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    deadline = time.monotonic() + CLIENT_SECONDS
    output = errors = None
    with client as process:
        try:
            while output is None or errors is None:
                # The next call continues from here.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    output, errors = process.communicate(timeout=0.5)
                if output is None and any(other.poll() is not None for other in beside):
                    raise Failed("a process beside the client ended too early")
                if output is None and time.monotonic() > deadline:
                    raise Failed(f"`{Path(words[0]).name}` took more than {CLIENT_SECONDS:.0f} s")
        finally:
            end(process)
    if process.returncode != 0:
        raise Failed(f"`{Path(words[0]).name}` failed: {gist(errors.strip() or output)}")
    return output


def json_of(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise Failed(f"no JSON: {text.strip()[-200:]}") from None
