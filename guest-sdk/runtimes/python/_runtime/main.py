"""Entry of each run: what the arguments ask for, with everything fresh that must differ between runs."""
import gc
import json
import os
import random
import sys
import tempfile

# Modules that many functions import, so that their runs need not.
import array, base64, bisect, calendar, collections, collections.abc, contextlib, copy, csv, dataclasses, datetime  # noqa
import decimal, enum, fractions, functools, hashlib, heapq, hmac, html, inspect, io, itertools, logging, math  # noqa
import numbers, operator, pathlib, pprint, queue, re, secrets, statistics, string, struct, textwrap, time  # noqa
import traceback, types, typing, unicodedata, urllib.parse, uuid, weakref, zlib, zoneinfo  # noqa

from . import call, errors, image, pickles

FAILED = 1
REFUSED = 2
USAGE = 64
USES = "usage: run FILE | check FILE | pickle FILE | check-pickle FILE"
# Of functions that call each other; calls by functions of C nest less deeply, by the size of their stack.
RECURSION_MAX = 1_000


def refresh(environ):
    """Replaces what the image holds of the time at which it was taken."""
    pairs = dict(text.split(b"=", 1) for text in environ if b"=" in text)
    os.environ._data.clear()
    os.environ._data.update(pairs)
    random.seed()
    # Prints belong to the log: stdout is the output of the function.
    sys.stdout = sys.stderr
    sys.argv = [""]


def read():
    parts = []
    while part := os.read(0, 1 << 16):
        parts.append(part)
    return b"".join(parts)


def write(output):
    view = memoryview(output)
    while view:
        view = view[os.write(1, view[:1 << 16]):]


def run(path):
    try:
        output = call.run(path, read())
    except BaseException as error:
        errors.report(error)
        return FAILED
    write(output)
    return 0


def check(path):
    try:
        found = call.handlers(call.loaded(path))
    except BaseException as error:
        return answered(errors.problem(error))
    if found:
        return answered(None, {name: name in found for name in call.NAMES})
    message = f"{os.path.basename(path)} defines neither handle nor handle_http"
    return answered(errors.place(message, path, None, None))


def run_pickle(path):
    output, is_error = pickles.run(path, read())
    write(output)
    return FAILED if is_error else 0


def answered(problem, found=None):
    if problem or found:
        write(json.dumps(problem or found, ensure_ascii=False).encode() + b"\n")
    return REFUSED if problem else 0


VERBS = {"run": run, "check": check, "pickle": run_pickle, "check-pickle": lambda path: answered(pickles.check(path))}


def main(args, environ):
    """Does what the arguments ask for; returns the exit code."""
    refresh(environ)
    verb, path = [arg.decode() for arg in args[1:3]] if len(args) >= 3 else ("", "")
    if verb not in VERBS:
        print(USES, file=sys.stderr)
        return USAGE
    code = VERBS[verb](path)
    sys.stderr.flush()
    return code


tempfile.tempdir = "/tmp"
sys.setrecursionlimit(RECURSION_MAX)
image.close(["/app", "/app/packages"])
# What the image holds is never garbage; collections in runs leave it alone, and so its pages.
gc.collect()
gc.freeze()
