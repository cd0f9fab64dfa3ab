"""Times of chosen modules in each mode: deployment, the first run after a restart, and runs after it."""

from __future__ import annotations

import contextlib
import http.client
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from .host import RUN_SECONDS, Host, running, started
from .rows import Row

# Modes, with the options of the host.
MODES = {
    "local": [],
    "push": ["-m", "push", "-p", "0", "--join-token", "compat-join-token"],
    "pull": ["-m", "pull", "-p", "0", "--join-token", "compat-join-token"],
    "process": ["--isolate", "process"],
}
WARM_RUNS = 9


@dataclass(frozen=True)
class Module:
    """A row with its module and further files."""

    row: Row
    wasm: Path
    further: dict[str, Path]

    @property
    def request(self) -> tuple[str, bytes]:
        """Returns the path behind the function's name, and the body."""
        words = self.row.args
        if self.row.kind == "http":
            return (words or [""])[0], self.row.stdin.encode()
        return "invoke?" + urlencode([("arg", word) for word in words]), self.row.stdin.encode()


@dataclass(frozen=True)
class Times:
    """Times of a module in a mode, in seconds; `failure` if it does not work there."""

    deploy: float = 0.0
    cold: float = 0.0
    warm: float = 0.0
    failure: str = ""

    def __str__(self) -> str:
        return self.failure or f"{self.deploy:.1f} s, {1e3 * self.cold:.0f} ms, {1e3 * self.warm:.1f} ms"


@contextlib.contextmanager
def cluster(program: Path, home: Path, mode: str) -> Iterator[Host]:
    """Starts a host, and a worker where the mode has them, over what an earlier start left in `home`."""
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(started(program, home, *MODES[mode]))
        if mode in ("push", "pull"):
            url = (home / "up.log").read_text().split("tcp://")[1].split()[0]
            command = [program, f"{mode}-worker", "2", f"tcp://{url}", "--data", home / "worker", "--log", "warn"]
            command += ["--join-token", "compat-join-token"]
            stack.enter_context(running(command, home, "worker.log", r"(Joined)"))
        yield host


def measured(
    program: Path, home: Path, modules: list[Module], tell: Callable[[str], None], chosen: Iterable[str] = MODES
) -> dict[str, list[Times]]:
    """Returns the times of all modules, by mode."""
    times = {}
    for mode in chosen:
        deploys: list[float | str] = []
        with cluster(program, home / mode, mode) as host:
            for number, module in enumerate(modules):
                tell(f"{mode}: deploying {module.row.name}")
                ended = host.deployed(module.row, module.wasm, f"m{number}", module.further)
                deploys.append(ended.text.strip()[-120:] if ended.exit else ended.run_seconds)
                # Leaves its code where the next start finds it.
                run(host.url, f"m{number}", module)
        with cluster(program, home / mode, mode) as host:
            tell(f"{mode}: running")
            times[mode] = [runs(host.url, f"m{n}", *pair) for n, pair in enumerate(zip(modules, deploys, strict=True))]
    return times


def runs(url: str, name: str, module: Module, deploy: float | str) -> Times:
    if isinstance(deploy, str):
        return Times(failure=deploy)
    all_ = [run(url, name, module) for _ in range(1 + WARM_RUNS)]
    wrong = next((text for _, text in all_ if text), "")
    cold, *warm = [seconds for seconds, _ in all_]
    return Times(failure=wrong) if wrong else Times(deploy, cold, statistics.median(warm))


def run(url: str, name: str, module: Module) -> tuple[float, str]:
    """Runs a module; returns the time until the whole answer is there, and what is wrong with it."""
    rest, body = module.request
    path = f"/fn/{name}/{rest}" if module.row.kind == "http" else f"/v1/functions/{name}/{rest}"
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=RUN_SECONDS)
    with contextlib.closing(connection):
        connection.connect()
        before = time.perf_counter()
        connection.request("POST" if body or module.row.kind != "http" else "GET", path, body)
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
        took = time.perf_counter() - before
    is_right = response.status == 200 and module.row.output in text
    return took, "" if is_right else f"{response.status}: {text.strip()[-120:]}"


def table(modules: list[Module], times: dict[str, list[Times]]) -> str:
    """Returns the times as Markdown."""
    lines = [
        f"Deployment, first run after a restart, and median of {WARM_RUNS} runs after it:",
        "",
        f"| module | MB | {' | '.join(times)} |",
        "|---|---:|" + "---|" * len(times),
    ]
    for number, module in enumerate(modules):
        cells = " | ".join(str(of_mode[number]).replace("|", "\\|").replace("\n", " ") for of_mode in times.values())
        lines.append(f"| {module.row.name} | {module.wasm.stat().st_size / 1e6:.1f} | {cells} |")
    return "\n".join(lines) + "\n"
