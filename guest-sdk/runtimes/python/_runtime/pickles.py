"""Functions that clients pickled with dill or cloudpickle: called with pickled arguments, answered with a pickle."""
import builtins
import os
import pickle

import cloudpickle
import dill

from . import errors, placeholders

IMPORTS = "/app/imports.txt"


def loaded(path):
    """Returns the function in a file; modules that it names are imported from the function's files."""
    if os.path.exists(IMPORTS):
        with open(IMPORTS, encoding="utf-8") as file:
            placeholders.expect(file.read().split())
    with open(path, "rb") as file, placeholders.importing():
        return dill.load(file)


def dumped(value):
    return dill.dumps(value, protocol=pickle.DEFAULT_PROTOCOL)


def run(path, body):
    """Returns the pickled result of a function, or the pickled exception, and whether that is an error."""
    try:
        function = loaded(path)
        with placeholders.importing():
            args, kwargs = dill.loads(body)
        return dumped(function(*args, **kwargs)), False
    except BaseException as error:
        errors.report(error)
        return dumped(known(error)), True


def known(error):
    """Returns an exception that clients can load: itself if its class is a builtin, else a RuntimeError with its text."""
    if getattr(builtins, type(error).__name__, None) is type(error):
        try:
            plain = type(error)(*error.args)
            pickle.loads(pickle.dumps(plain))
            return plain
        except Exception:
            pass
    return RuntimeError(errors.said(error))


def check(path):
    """Returns what is wrong with a file, if anything."""
    try:
        function = loaded(path)
    except BaseException as error:
        return errors.problem(error)
    if not callable(function):
        return errors.place(f"the pickle holds {type(function).__name__}, which is not a function", None, None, None)
    return None


# Pickles name functions of both packages, and cloudpickle's are loaded by its own.
assert cloudpickle.cloudpickle
