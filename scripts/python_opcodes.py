"""Prints the opcode table of the Python that runs it, as a row of host/crates/core/src/pickle/tables.rs.

Usage, with every Python whose pickles the host should recognise, in order of version:

    for minor in 8 9 10 11 12 13 14; do python3.$minor scripts/python_opcodes.py; done

Source of every value: the modules `opcode` (`opmap`, `hasarg`, `hasconst`, `hasname`, `haslocal`, `hasfree`, `hasjrel`,
`hasjabs`, `_inline_cache_entries`) of that Python. Patch versions of one minor version share a table.
"""

import opcode
import sys

MINOR = sys.version_info[1]
# Instructions that no compiler emits into a code object, or that `co_code` never shows.
HIDDEN = {"CACHE", "RESERVED", "ENTER_EXECUTOR", "INTERPRETER_EXIT"}
BY_NAME = {
    "EXTENDED_ARG": "x",
    "RESUME": "r",
    "IMPORT_NAME": "i",
    "IMPORT_FROM": "f",
    "RETURN_GENERATOR": "g",
    "CALL_INTRINSIC_1": "s",
    "COPY_FREE_VARS": "v",
    "MAKE_CELL": "m",
    "LOAD_SUPER_ATTR": "q",
    "LOAD_FAST_LOAD_FAST": "p",
    "LOAD_FAST_BORROW_LOAD_FAST_BORROW": "p",
    "STORE_FAST_LOAD_FAST": "p",
    "STORE_FAST_STORE_FAST": "p",
}
if MINOR >= 11:
    BY_NAME["POP_TOP"] = "t"
    BY_NAME["LOAD_GLOBAL"] = "h"
if MINOR >= 12:
    BY_NAME["LOAD_ATTR"] = "h"


def takes_argument(number):
    hasarg = getattr(opcode, "hasarg", None)
    return number >= opcode.HAVE_ARGUMENT if hasarg is None else number in hasarg


def kind(name, number):
    """Returns the letter that says how the argument of an instruction is checked."""
    if number > 255 or name in HIDDEN or name.startswith("INSTRUMENTED_"):
        return None
    if name in BY_NAME:
        return BY_NAME[name]
    for numbers, letter in [
        (opcode.hasconst, "c"),
        (opcode.hasname, "n"),
        (opcode.hasfree, "d"),
        (opcode.haslocal, "l"),
        (opcode.hasjabs, "a"),
        (opcode.hasjrel, "k" if "POP_JUMP_BACKWARD" in name else "b" if "BACKWARD" in name else "j"),
    ]:
        if number in numbers:
            return letter
    # Before 3.11, instructions that were made inactive kept their arguments.
    return "0" if MINOR >= 11 and not takes_argument(number) else "-"


def caches():
    """Returns the number of inline cache entries by opcode."""
    entries = getattr(opcode, "_inline_cache_entries", {})
    if not isinstance(entries, dict):
        entries = {opcode.opname[number]: count for number, count in enumerate(entries)}
    known = {name: number for name, number in opcode.opmap.items() if kind(name, number)}
    return sorted((known[name], count) for name, count in entries.items() if count and name in known)


def main():
    letters = ["."] * 256
    for name, number in opcode.opmap.items():
        letters[number if number < 256 else 0] = kind(name, number) or "."
    print(f"    Table {{\n        minor: {MINOR},\n        kinds: b\"\\")
    for row in range(0, 256, 64):
        print("            " + "".join(letters[row : row + 64]) + ("\\" if row < 192 else "\","))
    print("        caches: &[" + ", ".join(f"({number}, {count})" for number, count in caches()) + "],\n    },")


main()
