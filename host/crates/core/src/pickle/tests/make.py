"""Writes the pickles of this folder that the Python which runs it makes: dill-3.N.pickle and cloudpickle-3.N.pickle, and
under Python 3.11 those of other protocols, of by-reference functions and of arguments too.

Usage: PYTHON make.py, with dill and cloudpickle installed, in this folder.
"""

import os
import sys
import tempfile

import cloudpickle
import dill

VERSION = "%d.%d" % sys.version_info[:2]


def make(factor):
    import json.decoder

    class Point:
        def __init__(self, x):
            self.x = x

        def scaled(self):
            return self.x * factor

    def function(values, *rest, text="", **named):
        import os.path
        from collections import Counter

        def odd():
            for value in values:
                if value % 2 and value is not None:
                    yield value

        try:
            total = sum(odd()) + max((Point(value).scaled() for value in rest), default=0)
        except TypeError as error:
            raise ValueError(f"bad {error!r:>5}") from error
        while total > 1000:
            total -= factor
        print(*rest, **named)
        return total, os.path.join("a", text), Counter(text), json.decoder, {**named}, [*rest]

    return function


def write(name, content):
    with open(name, "wb") as file:
        file.write(content)


write(f"dill-{VERSION}.pickle", dill.dumps(make(3)))
write(f"cloudpickle-{VERSION}.pickle", cloudpickle.dumps(make(3)))
if VERSION == "3.11":
    for protocol in 2, 3, 5:
        write(f"dill-protocol-{protocol}.pickle", dill.dumps(make(3), protocol=protocol))
    # A module that can be imported, as test modules are under pytest.
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(f"{folder}/suite")
        with open(f"{folder}/suite/calc.py", "w") as file:
            file.write("def double(x):\n    return 2 * x\n")
        sys.path.insert(0, folder)
        import suite.calc
    write("reference.pickle", dill.dumps(suite.calc.double))
    write("module.pickle", dill.dumps(os.path))
    write("arguments.pickle", dill.dumps(((2, "x", [1.5, None]), {"key": {"a": b"b"}})))
