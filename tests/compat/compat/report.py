"""Compares ends with what modules.toml records, and writes them as a table."""

from __future__ import annotations

from dataclasses import dataclass

from .host import Ended
from .rows import CLAIMED, Row


@dataclass(frozen=True)
class Result:
    """A row and its end, or the reason for which it could not be tried."""

    row: Row
    bytes: int
    ended: Ended | None
    missing: str = ""

    @property
    def found(self) -> str:
        """Returns `works`, `refused`, `fails`, or `missing` if the module could not be had."""
        if self.ended is None:
            return "missing"
        if self.ended.state == "refused":
            helps = self.row.expect == "refused" and self.row.output in self.ended.text
            return "refused" if helps else "fails"
        is_right = self.ended.exit == self.row.exit and self.row.output in self.ended.text
        return "works" if is_right else "fails"

    @property
    def fell_back(self) -> bool:
        """Returns whether the end is worse than the recorded one."""
        return self.found == "missing" or (self.row.expect != "fails" and self.found != self.row.expect)

    @property
    def is_news(self) -> bool:
        """Returns whether a module works that is recorded as failing."""
        return self.row.expect == "fails" and self.found == "works"


def share(results: list[Result]) -> tuple[int, int]:
    """Returns how many modules of the claimed kinds work, and how many there are."""
    claimed = [each for each in results if each.row.kind in CLAIMED]
    return sum(each.found == "works" for each in claimed), len(claimed)


def table(results: list[Result]) -> str:
    """Returns all rows as Markdown, with the totals below them."""
    lines = ["| module | kind | MB | deploy s | run s | end |", "|---|---|---:|---:|---:|---|"]
    for each in results:
        ended = each.ended or Ended("missing", each.missing)
        times = f"{ended.deploy_seconds:.1f} | {ended.run_seconds:.2f}"
        mark = " (fell back)" if each.fell_back else ""
        end = f"{each.found}{mark}{note(each, ended)}"
        lines.append(f"| {each.row.name} | {each.row.kind} | {each.bytes / 1e6:.1f} | {times} | {end} |")
    works, all_ = share(results)
    other = [each for each in results if each.row.kind not in CLAIMED]
    helped = sum(each.found == "refused" for each in other)
    lines.append("")
    lines.append(
        f"{works} of {all_} modules work that ask for nothing outside WASI, components, wasi:http and Extism"
        f" ({percent(works, all_)}); of {len(other)} others {helped} are refused with the sentence that helps."
    )
    return "\n".join(lines) + "\n"


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "none"


def note(result: Result, ended: Ended) -> str:
    if result.found in ("works", "refused"):
        return ""
    lines = [line.strip() for line in ended.text.splitlines() if line.strip()]
    text = result.row.because or (lines[-1] if lines else "no output")
    return ": " + text.replace("|", "\\|")[:160]
