#!/usr/bin/env python3
"""Runs public modules of PyPI and npm on Fusebox and prints a table of their ends.

`make compat` builds Fusebox and calls this; tests/compat/README.md describes the rows.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

if sys.version_info < (3, 11):
    sys.exit("Python 3.11 or newer is needed: it reads TOML.")
sys.dont_write_bytecode = True

from compat import host, modes, registry, report, rows  # noqa: E402

HERE = Path(__file__).resolve().parent
TARGET = HERE.parents[1] / "target"


def main() -> int:
    args = arguments()
    try:
        chosen = [each for each in rows.read(args.rows) if not args.only or args.only in each.name]
    except rows.Invalid as invalid:
        print(invalid, file=sys.stderr)
        return 2
    if not chosen:
        print(f"--only {args.only} fits none of the rows in {args.rows}", file=sys.stderr)
        return 2
    return by_mode(args, [each for each in chosen if each.modes]) if args.modes else compared(args, chosen)


def compared(args: argparse.Namespace, chosen: list[rows.Row]) -> int:
    """Runs modules and compares their ends with the recorded ones."""
    results = []
    with tempfile.TemporaryDirectory() as home, host.started(args.fusebox, Path(home) / "host") as running:
        for number, row in enumerate(chosen, 1):
            print(f"[{number}/{len(chosen)}] {row.name} …", end=" ", file=sys.stderr, flush=True)
            results.append(result(running, row, args.cache, f"compat-{number}"))
            print(results[-1].found, file=sys.stderr)
    text = report.table(results)
    print(text)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(text)
    news = [each.row.name for each in results if each.is_news]
    if news:
        print(f"These work now, so their rows can say so: {', '.join(news)}", file=sys.stderr)
    worse = [each.row.name for each in results if each.fell_back]
    if worse:
        print(f"These fell back: {', '.join(worse)}", file=sys.stderr)
    return 1 if worse else 0


def by_mode(args: argparse.Namespace, chosen: list[rows.Row]) -> int:
    """Measures modules in each mode."""
    modules = []
    for row in chosen:
        print(f"{row.name} …", file=sys.stderr)
        try:
            modules.append(modes.Module(row, *had(row, args.cache)))
        except registry.Missing as missing:
            print(f"{row.name}: {missing}", file=sys.stderr)
    tell = lambda text: print(text, file=sys.stderr, flush=True)  # noqa: E731
    with tempfile.TemporaryDirectory() as home:
        times = modes.measured(args.fusebox, Path(home), modules, tell)
    text = modes.table(modules, times)
    print(text)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.with_name("modes.md").write_text(text)
    fails = any(each.failure for mode in times.values() for each in mode)
    return 1 if fails or len(modules) < len(chosen) else 0


def had(row: rows.Row, cache: Path) -> tuple[Path, dict[str, Path]]:
    """Returns the paths of a row's module and of its further files."""
    further = {name: registry.member(row.package, path, cache) for name, path in row.package_files.items()}
    return registry.module(row, cache), further


def result(running: host.Host, row: rows.Row, cache: Path, name: str) -> report.Result:
    try:
        wasm, further = had(row, cache)
    except registry.Missing as missing:
        return report.Result(row, 0, None, str(missing))
    return report.Result(row, wasm.stat().st_size, running.end_of(row, wasm, name, further))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Runs public modules on Fusebox and compares their ends.")
    parser.add_argument("--only", default="", metavar="TEXT", help="the rows whose name contains this")
    parser.add_argument("--modes", action="store_true", help="measure the rows marked `modes` in each mode instead")
    parser.add_argument("--rows", type=Path, default=HERE / "modules.toml", metavar="FILE")
    parser.add_argument("--cache", type=Path, default=TARGET / "compat", metavar="DIR", help="downloaded packages")
    parser.add_argument("--output", type=Path, default=TARGET / "compat" / "compat.md", metavar="FILE")
    parser.add_argument("--fusebox", type=Path, default=TARGET / "release" / "fusebox", metavar="PROGRAM")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
