"""A private host, and deployments and runs on it by the command line, as a user would make them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .rows import Row

READY_SECONDS = 60.0
# A deployment compiles; 12 MB of code take about half a minute.
DEPLOY_SECONDS = 600.0
RUN_SECONDS = 300.0
# Settings of every module: real programs need more than the defaults for strangers' functions.
LIMITS = ["--memory", "256MiB", "--wall", "60s"]
# Ceilings of a host that an operator opens for large programs: GCC and yosys have 15 to 41 MiB of code.
CEILINGS = ["--max-code", "48MiB", "--max-module", "128MiB"]


@dataclass(frozen=True)
class Ended:
    """The end of a module: `refused` at its deployment, or `ran` with an exit code; the text tells the rest."""

    state: str
    text: str
    exit: int = 0
    deploy_seconds: float = 0.0
    run_seconds: float = 0.0


@dataclass(frozen=True)
class Host:
    """A running host: its program and address."""

    program: Path
    url: str

    def end_of(self, row: Row, wasm: Path, name: str, further: dict[str, Path]) -> Ended:
        """Deploys a module, with further files, and runs it; returns its end."""
        deployed = self.deployed(row, wasm, name, further)
        if deployed.exit:
            return Ended("refused", deployed.text, deploy_seconds=deployed.run_seconds)
        if row.kind == "http":
            run = self.requested(name, row)
        else:
            words = ["--", *row.args] if row.args else []
            command = [self.program, "invoke", name, "--url", self.url, *words]
            run = ran(command, row.stdin.encode(), RUN_SECONDS)
        return Ended("ran", run.text, run.exit, deployed.run_seconds, run.run_seconds)

    def deployed(self, row: Row, wasm: Path, name: str, further: dict[str, Path]) -> Ended:
        """Deploys a module, with further files; its time is that of a run."""
        with tempfile.TemporaryDirectory() as home:
            command = [self.program, "deploy", wasm, "--name", name, "--url", self.url, *LIMITS, *row.flags]
            command += [word for name, value in row.env.items() for word in ("--env", f"{name}={value}")]
            command += ["--export", row.export] if row.export else []
            command += files(row, Path(home), further)
            return ran(command, b"", DEPLOY_SECONDS)

    def requested(self, name: str, row: Row) -> Ended:
        url = f"{self.url}/fn/{name}/{(row.args or [''])[0]}"
        try:
            with urllib.request.urlopen(url, data=row.stdin.encode() or None, timeout=RUN_SECONDS) as answer:
                return Ended("ran", answer.read().decode(errors="replace"))
        except urllib.error.HTTPError as error:
            return Ended("ran", f"{error.code}: {error.read().decode(errors='replace')}", error.code)


def files(row: Row, home: Path, further: dict[str, Path]) -> list[str | Path]:
    contents = {name: text.encode() for name, text in row.files.items()}
    contents |= {name: path.read_bytes() for name, path in further.items()}
    for name, content in contents.items():
        path = home / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return ["--files", home] if contents else []


def ran(command: list[str | Path], stdin: bytes, seconds: float) -> Ended:
    before = os.times().elapsed
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return Ended("ran", f"no end within {seconds:.0f} s", -1)
    text = (done.stdout + done.stderr).decode(errors="replace")
    return Ended("ran", text, exit_code(done.returncode, text), run_seconds=os.times().elapsed - before)


def exit_code(code: int, text: str) -> int:
    """Returns the exit code of the guest where the command line reports one, else that of the command line."""
    found = re.search(r"exit(?:ed with)? (?:code|status) (\d+)|exited with (\d+)", text) if code == 3 else None
    return int(found[1] or found[2]) if found else code


@contextlib.contextmanager
def started(program: Path, home: Path, *more: str) -> Iterator[Host]:
    """Starts `fusebox up` on a free port of this machine, with the store of `home`, and ends it."""
    home.mkdir(parents=True, exist_ok=True)
    command = [program, "up", "--listen", "127.0.0.1:0", "--store", home / "store", "--log", "warn", *CEILINGS, *more]
    with running(command, home, "up.log", r"listening on (http://[0-9.:]+)") as url:
        yield Host(program, url)


@contextlib.contextmanager
def running(command: list[str | Path], home: Path, log: str, ready: str) -> Iterator[str]:
    """Starts a program, waits until its output matches `ready`, yields the group in it, and ends the program."""
    path = home / log
    with path.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command], stdout=output, stderr=output, cwd=home, start_new_session=True
        )
    try:
        yield found(process, path, ready)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def found(process: subprocess.Popen[bytes], log: Path, ready: str) -> str:
    deadline = os.times().elapsed + READY_SECONDS
    while os.times().elapsed < deadline and process.poll() is None:
        match = re.search(ready, log.read_text(errors="replace"))
        if match:
            return match[1]
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
    raise SystemExit(f"a process did not start: {log.read_text(errors='replace').strip()[-500:]}")
