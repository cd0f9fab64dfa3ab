"""Measures how well the host recognises the Python that made a pickle: over every function of the standard library.

Usage: for each Python, PYTHON scripts/python_study.py EXAMPLE, where EXAMPLE is the built example `python_versions` of
fusebox-core. Each function's code object is pickled with the arguments that dill writes and with those that
cloudpickle writes. Printed: how many were recognised, how many are undecided between versions, and how many wrong.
"""

import collections
import io
import os
import pickle
import subprocess
import sys
import types
import warnings

OWN = "%d.%d" % sys.version_info[:2]
LEFT_OUT = ("site-packages", "dist-packages", "/test", "idlelib", "lib2to3", "tkinter")


def arguments(code):
    """Returns the arguments of the constructor, in the order of types.CodeType."""
    head = [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_nlocals, code.co_stacksize]
    head += [code.co_flags, code.co_code, code.co_consts, code.co_names, code.co_varnames]
    head += [code.co_filename, code.co_name]
    if hasattr(code, "co_exceptiontable"):
        tail = [code.co_qualname, code.co_firstlineno, code.co_linetable, code.co_exceptiontable]
    elif hasattr(code, "co_linetable"):
        tail = [code.co_firstlineno, code.co_linetable]
    else:
        tail = [code.co_firstlineno, code.co_lnotab]
    return head + tail + [code.co_freevars, code.co_cellvars]


def make_code(*_):
    """Stands for the functions of dill and cloudpickle that make a code object. It is never called."""


class Pickler(pickle.Pickler):
    """Pickler of code objects as dill does it, with a table of lines first from Python 3.10 on, or as cloudpickle."""

    def __init__(self, file, protocol, as_dill):
        super().__init__(file, protocol)
        self.has_table = as_dill and hasattr(types.CodeType, "co_linetable")

    def reducer_override(self, value):
        if not isinstance(value, types.CodeType):
            return NotImplemented
        first = [value.co_lnotab] if self.has_table else []
        return make_code, tuple(first + arguments(value))


def functions(code, is_module=True):
    if not is_module:
        yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from functions(constant, False)


def library():
    seen = set()
    for folder, _, files in os.walk(os.path.dirname(os.__file__)):
        if any(part in folder for part in LEFT_OUT):
            continue
        for name in sorted(files):
            if not name.endswith(".py"):
                continue
            with open(os.path.join(folder, name), "rb") as file:
                try:
                    module = compile(file.read(), name, "exec")
                except (SyntaxError, ValueError):
                    continue
            for code in functions(module):
                if code.co_code not in seen:
                    seen.add(code.co_code)
                    # Without the functions inside, which count for themselves.
                    flat = [None if isinstance(c, types.CodeType) else c for c in code.co_consts]
                    yield code.replace(co_consts=tuple(flat))


def main(example):
    warnings.simplefilter("ignore")
    codes = list(library())
    for as_dill, protocol in [(True, 4), (True, 2), (False, 5)]:
        pickles = bytearray()
        for code in codes:
            file = io.BytesIO()
            Pickler(file, protocol, as_dill).dump(code)
            pickles += len(file.getvalue()).to_bytes(4, "little") + file.getvalue()
        ran = subprocess.run([example], input=bytes(pickles), stdout=subprocess.PIPE, check=True)
        found = collections.Counter(ran.stdout.decode().splitlines())
        alone = found.pop(OWN, 0)
        undecided = {answer: n for answer, n in found.items() if OWN in answer.replace(",", "").split(" ")}
        wrong = {answer: n for answer, n in found.items() if answer not in undecided}
        kind = "dill" if as_dill else "cloudpickle"
        print(f"{OWN} {kind} protocol {protocol}: {len(codes)} functions, {alone} recognised, undecided", end=" ")
        print(f"{undecided}, wrong {sum(wrong.values())} {wrong}")


main(sys.argv[1])
