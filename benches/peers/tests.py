#!/usr/bin/env python3
"""Tests of the driver. Nothing is installed or started."""

from __future__ import annotations

import os
import sys
import unittest
from pathlib import Path

sys.dont_write_bytecode = True

from driver import lifecycle, machine, report  # noqa: E402
from driver.plan import COMPARISONS, Comparison, Measure, Programs, measures  # noqa: E402
from driver.report import Figures  # noqa: E402

PROGRAMS = Programs(fusebox=Path("fusebox"), echo=Path("echo"), sandbox=None)
ABOUT = {"time": "now", "rounds": 3, "scale": 1.0, "machine": {}, "versions": {}}


def figures(key: str, *values: float, error: str | None = None) -> Figures:
    measure = Measure({key: f"the {key}"}, "tasks/s", "as it is", "a record", dict)
    return Figures(measure, {key: list(values)} if values else {}, [0.0] * len(values), error)


class Plan(unittest.TestCase):
    def test_whatever_is_compared_is_measured(self) -> None:
        keys = {key for each in measures(PROGRAMS, 1) for key in each.keys}
        self.assertEqual({key for row in COMPARISONS for key in (row.ours, row.peer)} - keys, set())

    def test_a_target_is_a_bound_from_below_or_above(self) -> None:
        self.assertEqual([Comparison("", "", "", 3).is_met(ratio) for ratio in (2.9, 3.0)], [False, True])
        self.assertEqual([Comparison("", "", "", 1.3, True).is_met(ratio) for ratio in (1.3, 1.4)], [True, False])
        self.assertIsNone(Comparison("", "", "").is_met(1))


class Report(unittest.TestCase):
    def test_a_ratio_is_that_of_the_medians(self) -> None:
        all_ = [figures("burst.push", 10, 30, 20), figures("celery", 1, 2, 1)]
        row = report.document(ABOUT, all_)["comparisons"][0]
        self.assertEqual((row["ratio"], row["ratio_min"], row["ratio_max"], row["met"]), (20.0, 10.0, 20.0, False))

    def test_a_peer_that_cannot_be_installed_is_a_row_that_says_so(self) -> None:
        all_ = [figures("burst.push", 10), figures("celery", error="no venv: `apt-get install python3-venv`")]
        text = report.markdown(report.document(ABOUT, all_))
        self.assertIn("not measured", text)
        self.assertIn("Not measured: the celery. no venv", text)

    def test_a_busy_machine_is_named_first(self) -> None:
        calm, busy = figures("celery", 1), figures("rq", 1)
        busy.others = [0.5]
        self.assertNotIn("busy", report.markdown(report.document(ABOUT, [calm])))
        self.assertIn("1 of 2 measurements, up to 50%", report.markdown(report.document(ABOUT, [calm, busy])))

    def test_no_target_is_met_or_missed_on_a_busy_machine(self) -> None:
        ours, peer = figures("burst.push", 100), figures("celery", 1)
        peer.others = [0.5]
        row = report.document(ABOUT, [ours, peer])["comparisons"][0]
        self.assertEqual((row["ratio"], row["met"]), (100.0, None))
        self.assertEqual(report.comparison_cells(row)[-1], "disturbed")

    def test_the_table_is_aligned(self) -> None:
        lines = report.table(["a", "bb"], [["x", "1"], ["long", "1,000"]]).splitlines()
        self.assertEqual(lines, ["| a    |    bb |", "|------|------:|", "| x    |     1 |", "| long | 1,000 |"])


class Lifecycle(unittest.TestCase):
    def test_a_program_that_fails_says_why(self) -> None:
        with self.assertRaisesRegex(lifecycle.Failed, "`sh` failed: error: the disk is full"):
            lifecycle.output_of(["sh", "-c", "echo error: the disk is full >&2; echo usage >&2; exit 1"])

    def test_a_client_does_not_outlive_what_it_speaks_to(self) -> None:
        with lifecycle.scratch() as home, lifecycle.running(["false"], home / "log") as server:
            with self.assertRaisesRegex(lifecycle.Failed, "ended too early"):
                lifecycle.output_of(["sleep", "60"], beside=[server])

    def test_what_a_process_started_ends_with_it(self) -> None:
        with lifecycle.scratch() as home:
            with lifecycle.running(["sh", "-c", "sleep 60 & echo $!; wait"], home / "log"):
                lifecycle.until(lambda: (home / "log").read_text().endswith("\n"), "sh")
            child = (home / "log").read_text().strip()
            lifecycle.until(lambda: is_gone(child), "the end of its child")


class Machine(unittest.TestCase):
    def test_what_a_child_leaves_behind_is_waited_for(self) -> None:
        machine.adopt_orphans()
        lifecycle.output_of(["sh", "-c", "setsid sleep 0.2 >/dev/null 2>&1 &"])
        machine.wait_for_children()
        with self.assertRaises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)


def is_gone(pid: str) -> bool:
    try:
        # A zombie without a waiting parent has ended as well.
        return " Z " in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return True


if __name__ == "__main__":
    unittest.main()
