#!/usr/bin/env python3
"""Tests of the comparison. Nothing is downloaded; one example, packed here, runs on a real host."""

from __future__ import annotations

import hashlib
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path

if sys.version_info < (3, 11):
    sys.exit("Python 3.11 or newer is needed: it reads TOML.")
sys.dont_write_bytecode = True

from compat import host, modes, registry, report, rows  # noqa: E402

HERE = Path(__file__).resolve().parent
TARGET = HERE.parents[1] / "target"
PACKAGE = rows.Package("pypi", "some", "1", "0" * 64)


def row(**fields: object) -> rows.Row:
    base = {"file": "a.wasm", "kind": "command", "expect": "works", "output": "yes"}
    return rows.row(PACKAGE, {**base, **fields})


def result(expect: str, ended: host.Ended | None, **fields: object) -> report.Result:
    fields = {"because": "a reason", **fields} if expect == "fails" else fields
    return report.Result(row(expect=expect, **fields), 1, ended)


RIGHT = host.Ended("ran", "yes, it is")
WRONG = host.Ended("ran", "no")
REFUSED = host.Ended("refused", "made by Emscripten: use WASI. yes")


class Rows(unittest.TestCase):
    def test_each_row_of_the_list_can_be_read(self) -> None:
        listed = rows.read(HERE / "modules.toml")
        self.assertGreaterEqual(len(listed), 50)
        self.assertEqual(len({each.name for each in listed}), len(listed), "two rows have one name")
        self.assertTrue(all(len(each.package.sha256) == 64 for each in listed))

    def test_a_field_or_end_that_does_not_exist_is_refused(self) -> None:
        for wrong in ({"outptu": "x"}, {"kind": "wasm"}, {"expect": "passes"}, {"expect": "fails"}):
            with self.assertRaises(rows.Invalid):
                row(**wrong)


class Ends(unittest.TestCase):
    def test_an_end_is_compared_with_the_recorded_one(self) -> None:
        found = [result("works", ended).found for ended in (RIGHT, WRONG, REFUSED, None)]
        self.assertEqual(found, ["works", "fails", "fails", "missing"])
        self.assertEqual(result("refused", REFUSED).found, "refused")
        self.assertEqual(result("refused", REFUSED, output="wasm-bindgen").found, "fails")
        self.assertEqual(result("works", RIGHT, exit=10).found, "fails")

    def test_a_worse_end_is_noticed(self) -> None:
        worse = [result("works", WRONG), result("refused", RIGHT), result("works", REFUSED), result("works", None)]
        self.assertTrue(all(each.fell_back for each in worse))
        fine = [result("works", RIGHT), result("refused", REFUSED), result("fails", WRONG), result("fails", RIGHT)]
        self.assertFalse(any(each.fell_back for each in fine))
        self.assertEqual([each.is_news for each in fine], [False, False, False, True])

    def test_the_table_counts_what_works(self) -> None:
        all_ = [result("works", RIGHT), result("fails", WRONG), result("refused", REFUSED, kind="other")]
        text = report.table(all_)
        self.assertIn("1 of 2 modules work", text)
        self.assertIn("of 1 others 1 are refused", text)
        self.assertIn("fails: a reason", text)


class Modes(unittest.TestCase):
    def test_a_run_is_requested_as_its_row_says(self) -> None:
        asked = modes.Module(row(args=["a b", "-c"], stdin="x"), Path("a.wasm"), {}).request
        self.assertEqual(asked, ("invoke?arg=a+b&arg=-c", b"x"))
        self.assertEqual(modes.Module(row(kind="http", args=["a/b"]), Path("a.wasm"), {}).request, ("a/b", b""))

    def test_the_table_has_each_mode_and_what_fails(self) -> None:
        with tempfile.TemporaryDirectory() as home:
            wasm = Path(home) / "a.wasm"
            wasm.write_bytes(bytes(1_500_000))
            times = {"local": [modes.Times(1.25, 0.2, 0.0015)], "pull": [modes.Times(failure="424: a|b")]}
            text = modes.table([modes.Module(row(title="One"), wasm, {})], times)
        self.assertIn("| module | MB | local | pull |", text)
        self.assertIn("| One | 1.5 | 1.2 s, 200 ms, 1.5 ms | 424: a\\|b |", text)

    def test_rows_that_are_measured_work_and_end_with_0(self) -> None:
        chosen = [each for each in rows.read(HERE / "modules.toml") if each.modes]
        self.assertGreaterEqual(len(chosen), 10)
        self.assertTrue(all(each.expect == "works" and each.exit == 0 for each in chosen))


class Registry(unittest.TestCase):
    def test_other_bytes_than_the_recorded_ones_are_refused(self) -> None:
        with tempfile.TemporaryDirectory() as home:
            registry_of(Path(home), {"a.wasm": b"x"})
            with self.assertRaises(registry.Missing):
                registry.download(PACKAGE, Path(home))


def registry_of(home: Path, content: dict[str, bytes]) -> None:
    """Replaces the download by a wheel with this content."""

    def fetched(package: rows.Package, into: Path) -> Path:
        path = into / "some.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            for name, data in content.items():
                wheel.writestr(zipfile.ZipInfo(name), data)
        return path

    registry.fetched = fetched


class Whole(unittest.TestCase):
    """One packed example on a real host."""

    def test_a_packed_example_works_and_a_planted_fault_falls_back(self) -> None:
        program, guests = TARGET / "release" / "fusebox", TARGET / "guests"
        with tempfile.TemporaryDirectory() as text:
            home = Path(text)
            content = {"a.wasm": (guests / "word-count.wasm").read_bytes()}
            registry_of(home, content)
            (home / "packed").mkdir()
            packed = registry.fetched(PACKAGE, home / "packed")
            package = rows.Package("pypi", "some", "1", hashlib.sha256(packed.read_bytes()).hexdigest())
            run = {"file": "a.wasm", "kind": "command", "expect": "works", "stdin": "one two two"}
            with host.started(program, home / "host") as running:
                for output, falls_back in (("two", False), ("three", True)):
                    row = rows.row(package, {**run, "output": output})
                    wasm = registry.module(row, home / "cache")
                    ended = running.end_of(row, wasm, "word-count", {})
                    self.assertEqual(report.Result(row, 1, ended).fell_back, falls_back, ended)

    def test_a_packed_example_is_measured_on_a_worker_and_a_planted_fault_is_told(self) -> None:
        program, guests = TARGET / "release" / "fusebox", TARGET / "guests"
        run = {"kind": "command", "expect": "works", "stdin": "one two two"}
        outputs = ("two", "three")
        measured = [modes.Module(row(**run, output=output), guests / "word-count.wasm", {}) for output in outputs]
        with tempfile.TemporaryDirectory() as home:
            times = modes.measured(program, Path(home), measured, lambda _: None, ["push"])["push"]
        self.assertGreater(min(times[0].deploy, times[0].cold, times[0].warm), 0.0, times)
        self.assertTrue(times[1].failure.startswith("200: "), times)


if __name__ == "__main__":
    unittest.main()
