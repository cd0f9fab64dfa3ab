"""Turns figures into the report: a document for programs, and Markdown for people."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from . import machine
from .lifecycle import REDIS_SETTINGS
from .plan import COMPARISONS, MICROSECONDS, Comparison, Measure

# Measured once on another machine; not available for measurement here.
REFERENCE = (
    "Stated for reference, not measured here: the Python platform whose routes Fusebox keeps ran 204 (local), "
    "5.3 (push) and 1.9 (pull) no-op tasks/s in a burst."
)


@dataclass
class Figures:
    """Results of the rounds for one measure."""

    measure: Measure
    values: dict[str, list[float]] = field(default_factory=dict)
    others: list[float] = field(default_factory=list)
    error: str | None = None

    def add(self, values: dict[str, float], others: float) -> None:
        for key, value in values.items():
            self.values.setdefault(key, []).append(value)
        self.others.append(others)


def document(about: dict[str, Any], figures: Sequence[Figures]) -> dict[str, Any]:
    disturbed = [share for each in figures for share in each.others if share > machine.BUSY_SHARE]
    rows = [row_of(each, key, title) for each in figures for key, title in each.measure.keys.items()]
    by_key = {row["key"]: row for row in rows}
    return {
        **about,
        "redis_settings": " ".join(word or '""' for word in REDIS_SETTINGS),
        "disturbed": {
            "measurements": len(disturbed),
            "of": sum(len(each.others) for each in figures),
            "share_max": max(disturbed, default=0.0),
        },
        "reference": REFERENCE,
        "comparisons": [compare(each, by_key) for each in COMPARISONS if {each.ours, each.peer} <= by_key.keys()],
        "figures": rows,
    }


def row_of(figures: Figures, key: str, title: str) -> dict[str, Any]:
    measure, values = figures.measure, figures.values.get(key, [])
    return {
        "key": key,
        "title": title,
        "unit": measure.unit,
        "median": statistics.median(values) if values else None,
        "min": min(values, default=None),
        "max": max(values, default=None),
        "values": values,
        "others_share": figures.others,
        "error": figures.error,
        "settings": measure.settings,
        "result": measure.result,
    }


def compare(row: Comparison, by_key: dict[str, dict[str, Any]]) -> dict[str, Any]:
    ours, peer = by_key[row.ours], by_key[row.peer]
    ratio = ours["median"] / peer["median"] if ours["median"] and peer["median"] else None
    # Both figures of a round were measured within the same minutes.
    rounds = [mine / theirs for mine, theirs in zip(ours["values"], peer["values"])]
    disturbed = any(share > machine.BUSY_SHARE for each in (ours, peer) for share in each["others_share"])
    return {
        "what": row.what,
        "fusebox": ours["median"],
        "peer": peer["title"],
        "peer_figure": peer["median"],
        "unit": ours["unit"],
        "ratio": ratio,
        "ratio_min": min(rounds, default=None),
        "ratio_max": max(rounds, default=None),
        "target": row.target,
        "is_at_most": row.is_at_most,
        "disturbed": disturbed,
        # A disturbance affects the two sides unequally, so there is no verdict.
        "met": None if ratio is None or disturbed else row.is_met(ratio),
    }


def markdown(report: dict[str, Any]) -> str:
    disturbed = report["disturbed"]
    parts = ["# Fusebox beside its peers", ""]
    if disturbed["measurements"]:
        parts += [
            "**Not for publication: the machine was busy.** Other processes took more than "
            f"{machine.BUSY_SHARE:.0%} of its CPU time during {disturbed['measurements']} of {disturbed['of']} "
            f"measurements, up to {disturbed['share_max']:.0%}.",
            "",
        ]
    if report["scale"] != 1:
        parts += [f"**A trial run**: {report['scale']:g} times the usual number of tasks.", ""]
    parts += [
        table(
            ["what", "unit", "Fusebox", "peer", "its figure", "ratio", "in rounds", "target", "met"],
            [comparison_cells(row) for row in report["comparisons"]],
        ),
        "",
        *(f"Not measured: {row['title']}. {row['error']}\n" for row in report["figures"] if row["error"]),
        report["reference"],
        "",
        "## Figures",
        "",
        f"Median, least and most of {report['rounds']} rounds, each of which measures everything once.",
        "",
        table(
            ["", "unit", "median", "min", "max", "set to", "result kept in"],
            [figure_cells(row) for row in report["figures"]],
        ),
        "",
        "## Machine and versions",
        "",
        *(f"- {name}: {value}" for name, value in {**report["machine"], **report["versions"]}.items()),
        f"- redis-server for each queue, a fresh one: `{report['redis_settings']}`",
        f"- measured {report['time']}",
    ]
    return "\n".join(parts) + "\n"


def comparison_cells(row: dict[str, Any]) -> list[str]:
    ours, theirs = (number(row[name], row["unit"]) for name in ("fusebox", "peer_figure"))
    cells = [row["what"], row["unit"], ours, row["peer"], theirs]
    bound = "" if row["target"] is None else f"{'≤' if row['is_at_most'] else '≥'} {row['target']:g}x"
    if row["ratio"] is None:
        return [*cells, "", "", bound, "not measured"]
    met = {True: "yes", False: "**no**", None: "disturbed" if row["disturbed"] and bound else ""}[row["met"]]
    span = f"{times(row['ratio_min'])} to {times(row['ratio_max'])}"
    return [*cells, times(row["ratio"]), span, bound, met]


def figure_cells(row: dict[str, Any]) -> list[str]:
    three = [number(row[name], row["unit"]) for name in ("median", "min", "max")]
    return [row["title"], row["unit"], *three, row["settings"], row["result"]]


def number(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}" if unit == MICROSECONDS else f"{value:,.0f}"


def times(ratio: float) -> str:
    return f"{ratio:.1f}x" if ratio >= 10 else f"{ratio:.2f}x"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Returns a table aligned for reading as text, with numbers to the right."""
    lines = [head, *([cell.replace("|", "/") for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    right = [all(not row[column] or row[column][0] in "0123456789–≥≤" for row in rows) for column in range(len(head))]
    pad = [str.rjust if is_right else str.ljust for is_right in right]
    text = ["| " + " | ".join(pad[i](line[i], widths[i]) for i in range(len(head))) + " |" for line in lines]
    rule = "|".join("-" * (width + 1) + (":" if is_right else "-") for width, is_right in zip(widths, right))
    return "\n".join([text[0], f"|{rule}|", *text[1:]])
