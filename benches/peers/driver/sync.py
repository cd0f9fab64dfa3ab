"""Synchronous HTTP: `hello` by Fusebox and by workerd, a component by Fusebox and by `wasmtime serve`, a bare echo."""

from __future__ import annotations

import functools
import re
import subprocess
from pathlib import Path

from . import install, limits
from .lifecycle import HERE, ROOT, TARGET, Failed, Words, answers, free_port, output_of, running, scratch, tool, until

HTTP = HERE / "http"
WRK = ["-t1", "-c32"]
WARM_UP_SECONDS = 1
SECONDS = 5
# The body sent by `post.lua`.
BODY = b'{"name":"Ada"}'
HELLO = b'Hello, {"name":"Ada"}!'
# Answer of the component: the path of the request.
PATH = b"/"
# What bounds a run of `wasmtime serve` as Fusebox bounds each of its own; the pool and the pages that it keeps are those
# of Fusebox too. Of WASI 0.2, an instance serves one request by default.
WASMTIME_LIMITS = [
    "-Wfuel=1000000000000",
    "-Wtimeout=30s",
    "-Wmax-memory-size=67108864",
    "-Opooling-allocator=y",
    "-Opooling-memory-keep-resident=1048576",
    "-Opooling-table-keep-resident=1048576",
]


def fusebox(program: Path) -> float:
    """Returns requests per second of `POST …/invoke` on `fusebox up` with its embedded store and all limits."""
    return up(program, hello_module(), "v1/functions/hello/invoke", HELLO)


def http_component(program: Path) -> float:
    """Returns requests per second of a component at its URL, with the same settings."""
    return up(program, component().read_bytes(), "fn/hello/", PATH)


def up(program: Path, module: bytes, path: str, expected: bytes) -> float:
    """Returns requests per second of the function `hello`, which is this module."""
    listen = f"127.0.0.1:{free_port()}"
    with scratch() as run:
        command: Words = [program, "up", "--listen", listen, "--store", run / "store", "--log", "warn"]
        with running(command, run / "log") as process:
            until(lambda: answers(f"http://{listen}/readyz") is not None, "fusebox up", process)
            if answers(f"http://{listen}/v1/functions?name=hello", module) is None:
                raise Failed("fusebox up did not take the function `hello`")
            return wrk(f"http://{listen}/{path}", expected, process)


def hello_module() -> bytes:
    built, prebuilt = ROOT / "target/guests/hello.wasm", ROOT / "examples/prebuilt/hello.wasm"
    return (built if built.exists() else prebuilt).read_bytes()


@functools.cache
def component() -> Path:
    """Returns a component that answers HTTP requests with their path."""
    path = TARGET / "component.wasm"
    path.parent.mkdir(parents=True, exist_ok=True)
    output_of([limits.built_bench("kinds"), "--write-http", path])
    return path


def wasmtime_serve() -> float:
    listen = f"127.0.0.1:{free_port()}"
    command: Words = [install.wasmtime(), "serve", "--addr", listen, *WASMTIME_LIMITS, component()]
    return serve(command, f"http://{listen}/", PATH)


def workerd() -> float:
    binaries = sorted(install.npm("workerd").glob("@cloudflare/workerd-*/bin/workerd"))
    if not binaries:
        raise Failed("npm has no workerd for this machine")
    listen = f"127.0.0.1:{free_port()}"
    command: Words = [binaries[0], "serve", HTTP / "workerd.capnp", "--socket-addr", f"http={listen}"]
    return serve(command, f"http://{listen}/", HELLO)


def echo(program: Path) -> float:
    if not program.exists():
        raise Failed(f"{program.name} is not built: `make peers` builds it")
    listen = f"127.0.0.1:{free_port()}"
    return serve([program, listen], f"http://{listen}/", BODY)


def serve(command: Words, url: str, expected: bytes) -> float:
    with scratch() as run, running(command, run / "log") as process:
        until(lambda: answers(url, BODY) is not None, Path(command[0]).name, process)
        return wrk(url, expected, process)


def wrk(url: str, expected: bytes, server: subprocess.Popen[bytes]) -> float:
    if (answer := answers(url, BODY)) != expected:
        raise Failed(f"{url} answered {answer!r}")
    program: Words = [tool("wrk", "wrk"), *WRK, "-s", HTTP / "post.lua"]
    output_of([*program, "-d", f"{WARM_UP_SECONDS}s", url], beside=[server])
    text = output_of([*program, "-d", f"{SECONDS}s", url], beside=[server])
    rate = re.search(r"^Requests/sec:\s+([\d.]+)", text, re.MULTILINE)
    if rate is None or "Non-2xx" in text or "Socket errors" in text:
        raise Failed(f"wrk saw errors: {' / '.join(text.splitlines()[-4:])}")
    return float(rate[1])
