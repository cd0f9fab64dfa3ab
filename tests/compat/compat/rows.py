"""Reads modules.toml: the public modules, how each is run, and how it is expected to end."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

# Kinds that Fusebox claims to run; `other` are modules that need something else and are to be refused.
CLAIMED = ("command", "reactor", "component", "http", "extism")
KINDS = (*CLAIMED, "other")
ENDS = ("works", "refused", "fails")


class Invalid(Exception):
    """A row of modules.toml that cannot be used; names the row and the reason."""


@dataclass(frozen=True)
class Package:
    """An archive of a registry: `pypi` or `npm`, its name, version, and the SHA-256 of the downloaded file."""

    registry: str
    name: str
    version: str
    sha256: str
    # On PyPI, the platform of the wheel where there is none for all.
    platform: str = ""


@dataclass(frozen=True)
class Row:
    """A module of a package, one run of it, and its expected end."""

    package: Package
    # Path in the archive; with `build`, path of the source below sources.
    file: str
    kind: str
    # `works`: the run ends with `exit` and its output contains `output`. `refused`: the deployment fails with a
    # sentence that contains `output`. `fails`: neither, for the reason in `because`.
    expect: str
    output: str
    args: list[str] = field(default_factory=list)
    stdin: str = ""
    # Files of the deployment: path and content.
    files: dict[str, str] = field(default_factory=dict)
    # Further files of the deployment: path, and path in the archive.
    package_files: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    export: str = ""
    # Script below sources/build that makes the module with the installed package.
    build: str = ""
    flags: list[str] = field(default_factory=list)
    exit: int = 0
    # Whether it is among those that are measured in each mode.
    modes: bool = False
    # Name in the table, where a file is run more than once or has a name that says little.
    title: str = ""
    because: str = ""

    @property
    def name(self) -> str:
        """Returns the module's name in the table."""
        return self.title or f"{self.package.name}: {Path(self.file).name}"


def read(path: Path) -> list[Row]:
    """Returns all rows.

    Raises Invalid for a row with an unknown field, kind or end, or without a reason for its failure.
    """
    rows = []
    for package in tomllib.loads(path.read_text())["package"]:
        modules = package.pop("module")
        registry, _, rest = package.pop("from").partition(":")
        name, _, version = rest.rpartition("@")
        parsed = Package(registry, name, version, **package)
        rows += [row(parsed, module) for module in modules]
    return rows


def row(package: Package, module: dict[str, Any]) -> Row:
    where = f"{package.name}: {module.get('file')}"
    unknown = module.keys() - {each.name for each in fields(Row)}
    if unknown:
        raise Invalid(f"{where}: there is no field {min(unknown)}")
    parsed = Row(package=package, **module)
    if parsed.kind not in KINDS or parsed.expect not in ENDS:
        raise Invalid(f"{where}: the kind is one of {', '.join(KINDS)}; expect one of {', '.join(ENDS)}")
    if parsed.expect == "fails" and not parsed.because:
        raise Invalid(f"{where}: a module that fails states the reason in `because`")
    return parsed
